"""The columns of the data frames are those that their docstrings and the guide tell of."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import workbench
from tests.dashboard.samples import write_a_profile, write_rows, write_winners
from tests.plots.recorded import trial, write_run
from workbench.bench.metrics import METRICS
from workbench.trials.frames import trials

GUIDE = Path(__file__).parents[2] / "docs" / "dataframes.md"
PLAIN = ["kernels", "samples", "trace_classes", "trials", "winners"]


def function_of(name):
    """`workbench.trials` is the package of that name too, which calls this function."""
    return trials if name == "trials" else getattr(workbench, name)


def table(function):
    return [line for line in inspect.getdoc(function).splitlines() if line.startswith("|")]


def told(function):
    """Column and dtype by the docstring; patterns such as `config_<parameter>` are left out."""
    cells = [line.split("|")[1:3] for line in table(function)[2:]]
    return {name: dtype.strip() for names, dtype in cells for name in re.findall(r"`([a-z_]+)`", names)}


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_winners(folder)
    write_rows(folder)
    run = write_run(folder / "runs" / "mine", [trial({}, 1.0)])
    trace = write_a_profile(folder / "profile") / "split.json.gz"
    return {
        "winners": workbench.winners(folder),
        "trials": workbench.trials(run),
        "samples": workbench.samples(run),
        "bench_rows": workbench.bench_rows(folder),
        "kernels": workbench.kernels(trace),
        "trace_classes": workbench.trace_classes(trace),
    }


@pytest.mark.parametrize("name", PLAIN)
def test_the_docstring_tells_every_column_with_its_dtype(frames, name):
    dtypes = {
        column: str(dtype)
        for column, dtype in frames[name].dtypes.items()
        if not column.startswith(("problem_", "config_"))
    }
    assert dtypes == told(function_of(name))


def test_the_docstring_of_bench_rows_tells_every_column_that_is_no_metric(frames):
    dtypes = {
        column: str(dtype)
        for column, dtype in frames["bench_rows"].dtypes.items()
        if not column.startswith(tuple(METRICS))
    }
    assert dtypes == told(workbench.bench_rows)


@pytest.mark.parametrize("name", [*PLAIN, "bench_rows"])
def test_the_guide_holds_the_table_of_the_docstring(name):
    assert "\n".join(table(function_of(name))) in GUIDE.read_text()
