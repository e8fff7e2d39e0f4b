from __future__ import annotations

import fnmatch
import multiprocessing
from functools import cache
from itertools import groupby
from multiprocessing import forkserver
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings

# What shares the cores stretches single examples, which says nothing of the code.
settings.register_profile("workbench", deadline=None)
settings.load_profile("workbench")

# Files in which every test needs a GPU; test_gpu_files.py imports them where there is none.
GPU_FILES = ("test_*_gpu.py",)
# A driver's door, one of which is there wherever torch can find a GPU.
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")

WARM = {"spawn": "forkserver"}


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also the long tests (make test-all)")
    parser.addoption("--cases", type=int, metavar="N", help="of each test at most N cases, spread over all")
    parser.addoption("--gpu-files", action="store_true", help="collect what needs a GPU where there is none")


def pytest_report_header(config):
    left_out = [] if config.getoption("--all") else ["long ones (--all)"]
    left_out += [] if takes_gpu_tests(config) else ["those that need a GPU"]
    return f"tests left out: {', '.join(left_out) or 'none'}"


def pytest_ignore_collect(collection_path, config):
    if not takes_gpu_tests(config) and any(fnmatch.fnmatch(collection_path.name, each) for each in GPU_FILES):
        return True
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out what is not asked for or cannot run here; of the rest, the slow begin first and the tail is short."""
    unwanted = set() if config.getoption("--all") else {"long"}
    unwanted |= set() if takes_gpu_tests(config) else {"gpu"}
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    left_out += surplus_cases(items, config.getoption("--cases"))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    dropped = set(left_out)
    workers = config.workerinput["workercount"] if hasattr(config, "workerinput") else 1
    items[:] = slow_files_first([item for item in items if item not in dropped], workers)


def surplus_cases(items, most):
    """The cases of each test beyond so many: drawn from its name, so that they are the same each time."""
    if most is None:
        return []
    by_test = {}
    for item in items:
        by_test.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return [
        case
        for name, cases in by_test.items()
        for case in Random(name).sample(cases, max(len(cases) - most, 0))
    ]


def slow_files_first(items, workers):
    """The files in turn to the workers' shares, equal parts of the whole, each with the slow ones at its beginning."""
    files = [list(of_file) for _, of_file in groupby(items, key=lambda item: item.path)]
    is_slow = [any(item.get_closest_marker("slow") for item in of_file) for of_file in files]
    slow = [of_file for of_file, slowly in zip(files, is_slow, strict=True) if slowly]
    others = [item for of_file, slowly in zip(files, is_slow, strict=True) if not slowly for item in of_file]
    ordered = []
    for worker in range(workers):
        share = [item for of_file in slow[worker::workers] for item in of_file]
        size = len(items) * (worker + 1) // workers - len(ordered) - len(share)
        ordered += share + (others[: max(size, 0)] if worker < workers - 1 else others)
        others = others[max(size, 0) :]
    return ordered


def takes_gpu_tests(config):
    return config.getoption("--gpu-files") or a_gpu_is_at_hand()


@cache
def a_gpu_is_at_hand():
    """Without torch, which takes seconds to import, where there is no driver."""
    if not any(Path(door).exists() for door in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def compile_cache(request, tmp_path_factory):
    """One folder of compiled kernels for every worker and the processes that it starts, kept for the next run."""
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(request.config, "cache"):
            folder = request.config.cache.mkdir("triton")
        else:
            own = tmp_path_factory.getbasetemp()
            folder = (own.parent if hasattr(request.config, "workerinput") else own) / "triton"
        patch.setenv("TRITON_CACHE_DIR", str(folder))
        yield


@pytest.fixture(scope="module")
def warm_workers(request):
    """Workers in this module come from a server that has torch, unless --all asks for all that they do themselves."""
    if request.config.getoption("--all"):
        yield
        return
    context_of = multiprocessing.get_context
    context_of("forkserver").set_forkserver_preload(["tests.support.preloaded"])
    # Now, with the variables that all tests have.
    forkserver.ensure_running()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multiprocessing, "get_context", lambda method=None: context_of(WARM.get(method, method))
        )
        yield
