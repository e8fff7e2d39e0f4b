from __future__ import annotations

from functools import cache

import pytest
from hypothesis import settings

# What shares the cores stretches single examples, which says nothing of the code.
settings.register_profile("workbench", deadline=None)
settings.load_profile("workbench")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not a_gpu_is_at_hand():
        pytest.skip("needs a CUDA GPU")


@cache
def a_gpu_is_at_hand():
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory):
    """One folder of compiled kernels for the whole session, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield
