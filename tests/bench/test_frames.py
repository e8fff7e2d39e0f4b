from __future__ import annotations

import json
import math

import pandas as pd
import pytest

import workbench
from tests.dashboard.samples import a_bench_row, a_failed_run, write_rows
from workbench.base.errors import InputError
from workbench.bench.metrics import METRICS

ROWS = [
    a_bench_row("split", 4, 10.0, acceptance_per_position=(0.9, 0.5), versions={"torch": "2.13.0"}, failed=0),
    a_bench_row("fused", 4, 9.0, request_rate="inf", draft_tokens=3),
    a_bench_row("fused", 8, 9.5, request_rate=2.5),
    a_failed_run("fused", 64, request_rate="trace"),
]


def test_rows_are_those_of_the_files(tmp_path):
    path = write_rows(tmp_path, ROWS)
    held = json.loads(path.read_text())["rows"]
    frame = workbench.bench_rows(tmp_path)
    assert frame.equals(workbench.bench_rows(path))
    assert len(frame) == len(held) == 4
    for (_, row), line in zip(frame.iterrows(), held, strict=True):
        assert row["file"] == str(path)
        for name in (
            "source",
            "arm",
            "device",
            "model",
            "workload",
            "concurrency",
            "status",
            "reason",
            "failed",
        ):
            assert (None if pd.isna(row[name]) else row[name]) == line[name]
        for metric in METRICS:
            figure = line["metrics"].get(metric, {})
            for column, field in (
                ("", "value"),
                ("_low", "low"),
                ("_high", "high"),
                ("_n", "n"),
                ("_of", "of"),
            ):
                found = row[f"{metric}{column}"]
                assert (None if pd.isna(found) else found) == figure.get(field)


def test_rates_positions_and_versions_have_columns(tmp_path):
    frame = workbench.bench_rows(write_rows(tmp_path, ROWS))
    assert frame["request_rate_per_s"].tolist()[1:3] == [math.inf, 2.5]
    assert frame["request_rate_per_s"].isna().tolist() == [True, False, False, True]
    assert frame.loc[0, ["acceptance_position_1", "acceptance_position_2"]].tolist() == [0.9, 0.5]
    assert frame["version_torch"].isna().tolist() == [False, True, True, True]


def test_columns_do_not_depend_on_which_metrics_there_are(tmp_path):
    few = workbench.bench_rows(write_rows(tmp_path / "few", ROWS[3:]))
    many = workbench.bench_rows(write_rows(tmp_path / "many", ROWS[1:]))
    assert few.dtypes.to_dict() == many.dtypes.to_dict()


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: is no folder of results"):
        workbench.bench_rows(tmp_path / "nowhere")
