"""What ships with the project fits the project: sweeps load, and their winners are there, current and legal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moe_kernels.registry import TUNABLES
from moe_kernels.tuned import TunedFile, TunedFileError, parse, source_hash
from tests.support.patience import PATIENCE_S
from workbench.base.shipped import shipped_sweeps
from workbench.devices import find_device
from workbench.executors import WorkerPool
from workbench.sweep.space import build_space
from workbench.sweep.spec import load_spec, resolve_kernel
from workbench.sweep.stages.compile import compile_candidate, meta_launches
from workbench.sweep.stages.time_model import LEAST_IN_FLIGHT_SHARE, LaunchShape, in_flight_share
from workbench.trials.trial import Candidate

ROOT = Path(__file__).parents[1]
RESULTS = sorted(path for path in ROOT.glob("results/*/*/*=*.json") if path.parts[-3] != "runs")


@pytest.fixture(scope="module")
def results() -> dict[Path, TunedFile]:
    """Every results file that ships; fails at the first that does not parse, and names it."""
    assert RESULTS
    return {path: read(path) for path in RESULTS}


def read(path: Path) -> TunedFile:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except TunedFileError as error:
        raise AssertionError(f"{named(path)}: {error}") from error


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_shipped_rows_are_of_the_kernel_source_as_it_is(results):
    assert [
        named(path)
        for path, file in results.items()
        if {run.source_hash for run in file.runs.values()}
        != {source_hash(TUNABLES[file.kernel].of(file.problem).kernels)}
    ] == []


def test_shipped_configs_can_be_taken_by_their_kernel(results):
    assert [told for path, file in results.items() for told in rejected(path, file)] == []


def rejected(path, file):
    kernel = TUNABLES[file.kernel].of(file.problem)
    for tokens, row in file.rows.items():
        problem = {**file.problem, kernel.ladder.name: tokens}
        if why := kernel.why_rejected(problem, kernel.complete(row.config)):
            yield f"{named(path)}: {tokens}: {why}"


def test_shipped_modelled_rows_say_that_nothing_was_timed(results):
    modelled = [
        (f"{named(path)}: {tokens}", row)
        for path, file in results.items()
        for tokens, row in file.rows.items()
        if row.evidence == "modelled"
    ]
    assert modelled
    assert [where for where, row in modelled if row.measure["timed"] is not False] == []
    assert [where for where, row in modelled if "nothing was timed" not in row.extra["note"]] == []


def test_shipped_modelled_rows_that_leave_the_default_keep_memory_busy(results):
    assert [
        f"{named(path)}: {tokens}: {row.measure.get('in_flight')}"
        for path, file in results.items()
        for tokens, row in file.rows.items()
        if is_streaming(file) and leaves_the_default(file, row)
        if not row.measure.get("in_flight", 0.0) >= LEAST_IN_FLIGHT_SHARE
    ] == []


def is_streaming(file):
    kernel = TUNABLES[file.kernel]
    problem = {**file.problem, kernel.ladder.name: 1}
    return not kernel.produced.issuperset(kernel.make_inputs(problem, torch.device("meta")))


def leaves_the_default(file, row):
    return row.evidence == "modelled" and not row.kept_default


@pytest.mark.long
@pytest.mark.parametrize("slug", sorted({path.parts[-3] for path in RESULTS}))
def test_what_shipped_rows_say_of_bytes_in_flight_is_what_their_code_gives(slug, results, warm_workers):
    """Of each file the row that says least."""
    least = {
        path: min(said, key=lambda tokens: file.rows[tokens].measure["in_flight"])
        for path, file in results.items()
        if file.device == slug and (said := [*rows_that_say(file)])
    }
    with WorkerPool(2, timeout_s=PATIENCE_S) as pool:
        futures = {path: pool.submit(share_of, results[path], tokens) for path, tokens in least.items()}
        found = {path: round(future.result(), 3) for path, future in futures.items()}
    assert found == {path: results[path].rows[tokens].measure["in_flight"] for path, tokens in least.items()}


def rows_that_say(file):
    for tokens, row in file.rows.items():
        if leaves_the_default(file, row) and "in_flight" in row.measure:
            yield tokens


def share_of(file, tokens):
    """The share that the code of a row's config gives; in a worker, which has Triton compile for the file's GPU."""
    kernel, device, config = TUNABLES[file.kernel], find_device(file.device), file.rows[tokens].config
    candidate = Candidate(
        {**file.problem, kernel.ladder.name: tokens}, kernel.of(file.problem).complete(config)
    )
    resources = compile_candidate(file.kernel, candidate, device.compute_capability)
    grids = [launch.grid for launch in meta_launches(kernel, candidate)]
    return in_flight_share(list(map(LaunchShape.of, grids, resources)), device)


def test_the_winners_of_every_shipped_sweep_are_shipped(results):
    assert shipped_sweeps()
    assert [told for name in shipped_sweeps() for told in unshipped(name, results)] == []


def unshipped(name, results):
    loaded = load_spec(shipped_sweeps()[name])
    kernel = resolve_kernel(loaded)
    space = build_space(loaded, kernel)
    for problem in (each for each in space.problems if each not in space.empty_problems):
        for device in loaded.devices:
            folder = ROOT / "results" / find_device(device).slug / kernel.name
            path = folder / f"{kernel.file_stem(problem)}.json"
            if path not in results or problem[kernel.ladder.name] not in results[path].rows:
                yield f"{name}: {problem} on {device}"


def test_every_example_sweep_fits_its_kernel(monkeypatch):
    monkeypatch.chdir(ROOT)
    examples = sorted(ROOT.glob("examples/*.yaml"))
    assert examples
    for path in examples:
        loaded = load_spec(path)
        assert any(build_space(loaded, resolve_kernel(loaded)).configs), path
