"""Data frames hold what the files hold."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pandas as pd
import pytest

import workbench
from tests.cli.results_for_routing import a_row, write
from tests.plots.recorded import failed, trial, write_run
from workbench.base.errors import InputError
from workbench.trials.frames import _TRIALS, _WINNERS
from workbench.trials.journal import Journal
from workbench.trials.trial import Evidence, Resources


def value(each):
    return None if pd.isna(each) else each


def records(frame):
    return [{name: value(each) for name, each in row.items()} for row in frame.to_dict("records")]


def without_prefix(record, prefix):
    return {
        name.removeprefix(prefix): each
        for name, each in record.items()
        if name.startswith(prefix) and each is not None
    }


@pytest.mark.parametrize("columns", [_WINNERS, _TRIALS])
def test_no_parameter_or_axis_can_take_the_name_of_another_column(columns):
    assert not [name for name in columns if name.startswith(("problem_", "config_"))]


def test_winners_are_those_of_the_results_file(tmp_path):
    rows = {8: a_row(), 16: a_row(evidence="modelled", ci_us=None, default_time_us=None)}
    path = write(tmp_path, rows)
    told = json.loads(path.read_text())
    for row, (tokens, held) in zip(records(workbench.winners(tmp_path)), told["rows"].items(), strict=True):
        assert (row["tokens"], row["file"], row["source"]) == (int(tokens), str(path), "unknown")
        assert (row["device"], row["kernel"]) == (told["device"], told["kernel"])
        assert without_prefix(row, "problem_") == told["problem"]
        assert without_prefix(row, "config_") == held["config"]
        ends = held["ci_us"] or (None, None)
        assert (row["time_low_us"], row["time_high_us"]) == tuple(ends)
        for name in ("run", "evidence", "time_us", "default_time_us", "kept_default"):
            assert row[name] == held[name]
        assert row["speedup"] == pytest.approx(held["speedup"]) if held["speedup"] else row["speedup"] is None


def test_the_source_of_winners_is_compared_only_on_demand(tmp_path):
    write(tmp_path)
    write(tmp_path, device="NVIDIA_H200", hash_="another")
    frame = workbench.winners(tmp_path, check_source=True)
    assert frame.set_index("device")["source"].to_dict() == {
        "NVIDIA_B200": "current",
        "NVIDIA_H200": "changed",
    }


def test_no_winners_are_a_frame_without_rows(tmp_path):
    frame = workbench.winners(tmp_path)
    assert (len(frame), list(frame)) == (0, list(_WINNERS))


RESOURCES = Resources(
    registers=32, spill_bytes=0, shared_bytes=512, num_warps=4, instructions={}, critical_cycles=5
)
TRIALS = [
    trial({"block": 128}, 1.5, ratio=0.5, ratio_ci=(0.4, 0.6), ci_us=(1.4, 1.6), resources=(RESOURCES,) * 2),
    trial({"mode": "b"}, 2.5, tokens=8, evidence=Evidence.MODELLED, verified_on={"tokens": 1}),
    failed(tokens=8, reason="needs, 9\n'bytes'"),
]


def test_trials_are_the_lines_of_the_journal(tmp_path):
    folder = write_run(tmp_path / "runs" / "mine-0123", TRIALS)
    rows = records(workbench.trials("mine", tmp_path))
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) == 3
    for row, line in zip(rows, lines, strict=True):
        assert (row["run"], row["device"], row["kernel"]) == ("mine-0123", "NVIDIA_B200", "mine")
        assert without_prefix(row, "problem_") == line["problem"]
        assert without_prefix(row, "config_") == line["config"]
        for name in ("trial", "stage", "status", "reason", "evidence", "time_us", "ratio"):
            assert row[name] == line[name]
        assert [row["time_low_us"], row["time_high_us"]] == (line["ci_us"] or [None, None])
        assert [row["ratio_low"], row["ratio_high"]] == (line["ratio_ci"] or [None, None])
        assert row["verified"] == (line["verified_on"] is not None)
        assert row["launches"] == (len(line["resources"]) or None)
    assert (rows[0]["registers"], rows[0]["shared_bytes"], rows[1]["registers"]) == (32, 512, None)


def test_dtypes_do_not_depend_on_what_is_missing(tmp_path):
    one = workbench.trials(write_run(tmp_path / "one", TRIALS[:1]))
    all_ = workbench.trials(write_run(tmp_path / "all", TRIALS))
    assert one.dtypes.to_dict() == all_.dtypes.to_dict()
    assert str(one["launches"].dtype) == "Int64"
    assert str(one["time_us"].dtype) == "float64"


def test_samples_are_the_lines_of_the_journal(tmp_path):
    lines = [
        {"name": "default", "round": 0, "position": 1, "time_us": 2.0, "sm_mhz": None, "flags": [], "used": True},
        {"name": "x", "round": 0, "position": 0, "time_us": 1.5, "sm_mhz": 1980, "flags": ["a", "b"], "used": False},
    ]  # fmt: skip
    with Journal(tmp_path / "run", sweep={}, environment={}) as journal:
        journal.record(TRIALS)
        journal.record_samples({**line, "routing": "uniform"} for line in lines)
    rows = records(workbench.samples(tmp_path / "run"))
    assert rows == [{**line, "routing": "uniform", "flags": " ".join(line["flags"])} for line in lines]


def test_a_run_without_samples_is_a_frame_without_rows(tmp_path):
    assert len(workbench.samples(write_run(tmp_path / "run", TRIALS))) == 0


@pytest.mark.parametrize(
    ("file", "line", "read"),
    [
        ("trials.jsonl", "{}", workbench.trials),
        ("samples.jsonl", '{"name": "x"}', workbench.samples),
        ("samples.jsonl", "[1]", workbench.samples),
    ],
)
def test_a_damaged_line_is_named(tmp_path, file, line, read):
    folder = write_run(tmp_path / "run", TRIALS)
    (folder / file).write_text(f"{line}\n")
    with pytest.raises(InputError, match=f"{file}:1: damaged journal"):
        read(folder)


def test_a_value_of_another_kind_is_named(tmp_path):
    folder = write_run(tmp_path / "run", [trial({}, "soon")])
    with pytest.raises(InputError, match="time_us: damaged"):
        workbench.trials(folder)


@pytest.mark.parametrize("read", [workbench.trials, workbench.samples, workbench.winners])
def test_what_is_not_there_is_named(tmp_path, read):
    with pytest.raises(InputError, match="nowhere"):
        read(tmp_path / "nowhere")


def test_ten_thousand_trials_are_read_in_seconds(tmp_path):
    folder = write_run(tmp_path / "run", TRIALS)
    line = (folder / "trials.jsonl").read_text().splitlines()[0]
    (folder / "trials.jsonl").write_text(f"{line}\n" * 10_000)
    begun = time.process_time()
    frame = workbench.trials(folder)
    # About a fifth of a second of a core.
    assert (len(frame), time.process_time() - begun < 10) == (10_000, True)


def test_trials_names_the_function_and_the_package_whichever_is_imported_first(tmp_path):
    folder = write_run(tmp_path / "runs" / "mine", TRIALS)
    for first in ("workbench", "workbench.trials", "workbench.trials.journal"):
        code = f"import {first}, workbench; print(len(workbench.trials({str(folder)!r})), workbench.trials.__name__)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(len(TRIALS)), "workbench.trials"]
