"""What ships with the project fits the project: sweeps load, and their winners are there, current and legal."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe_kernels.registry import TUNABLES
from moe_kernels.tuned import TunedFile, parse, source_hash
from workbench.base.shipped import shipped_sweeps
from workbench.devices import find_device
from workbench.sweep.space import build_space
from workbench.sweep.spec import load_spec, resolve_kernel

ROOT = Path(__file__).parents[1]
RESULTS = sorted(path for path in ROOT.glob("results/*/*/*=*.json") if path.parts[-3] != "runs")


def read(path: Path) -> TunedFile:
    return parse(path.read_text(encoding="utf-8"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", RESULTS, ids=named)
def test_shipped_rows_are_of_the_kernel_source_as_it_is(path):
    file = read(path)
    current = source_hash(TUNABLES[file.kernel].of(file.problem).kernels)
    assert {run.source_hash for run in file.runs.values()} == {current}


@pytest.mark.parametrize("path", RESULTS, ids=named)
def test_shipped_configs_can_be_taken_by_their_kernel(path):
    file = read(path)
    kernel = TUNABLES[file.kernel].of(file.problem)
    for tokens, row in file.rows.items():
        assert (
            kernel.why_rejected({**file.problem, kernel.ladder.name: tokens}, kernel.complete(row.config))
            is None
        )


@pytest.mark.parametrize("path", RESULTS, ids=named)
def test_shipped_modelled_rows_say_that_nothing_was_timed(path):
    for row in read(path).rows.values():
        if row.evidence == "modelled":
            assert row.measure["timed"] is False
            assert "nothing was timed" in row.extra["note"]


@pytest.mark.parametrize("name", shipped_sweeps())
def test_the_winners_of_every_shipped_sweep_are_shipped(name):
    loaded = load_spec(shipped_sweeps()[name])
    kernel = resolve_kernel(loaded)
    space = build_space(loaded, kernel)
    for problem in (each for each in space.problems if each not in space.empty_problems):
        for device in loaded.devices:
            folder = ROOT / "results" / find_device(device).slug / kernel.name
            rows = read(folder / f"{kernel.file_stem(problem)}.json").rows
            assert problem[kernel.ladder.name] in rows


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.yaml")), ids=named)
def test_every_example_sweep_fits_its_kernel(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    loaded = load_spec(path)
    assert any(build_space(loaded, resolve_kernel(loaded)).configs)
