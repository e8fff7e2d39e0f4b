from __future__ import annotations

import msgspec
import pandas as pd
import pytest

import workbench
from tests.timeline.traces import analysed, decode_events, on_cpu, write
from workbench.base.errors import InputError
from workbench.timeline.diff import compare
from workbench.timeline.frames import changes_frame
from workbench.timeline.record import summary_record
from workbench.timeline.summary import summarise


@pytest.fixture
def split(tmp_path):
    return write(tmp_path / "split.json.gz", decode_events("split"))


def record_of(path):
    return msgspec.to_builtins(summary_record(summarise(analysed(path))))


def test_kernels_are_those_of_the_summary(split):
    frame, held = workbench.kernels(split), record_of(split)
    assert len(frame) == len(held["kernels"]) > 3
    for row, kernel in zip(frame.to_dict("records"), held["kernels"], strict=True):
        assert (row["kernel"], row["class"]) == (kernel["name"], kernel["class"])
        for name in (
            "launches",
            "time_us",
            "share_busy",
            "share_span",
            "launches_per_step",
            "launches_per_layer",
        ):
            assert row[name] == kernel[name]
        spread = kernel["step_us"]
        assert [row["step_us"], row["step_low_us"], row["step_high_us"]] == [
            spread["median"], spread["low"], spread["high"]
        ]  # fmt: skip
        assert (row["basis"], row["reliable"]) == ("gpu", held["reliable"])


def test_classes_are_those_of_the_summary(split):
    frame, held = workbench.trace_classes(split), record_of(split)
    per_step = {each["name"]: each for each in held["per_step"]["classes"]}
    for row, share in zip(frame.to_dict("records"), held["classes"], strict=True):
        assert row["class"] == share["name"]
        for name in ("launches", "time_us", "exclusive_us", "share_busy", "share_span"):
            assert row[name] == share[name]
        step = per_step[share["name"]]
        assert row["step_us"] == step["time_us"]["median"]
        assert (row["step_share_busy"], row["step_share_span"]) == (step["share_busy"], step["share_span"])
        assert row["launches_per_layer"] == step["launches_per_layer"]


def test_a_trace_of_a_cpu_says_so(tmp_path):
    path = write(tmp_path / "cpu.json", [on_cpu("aten::mm", 0, 5)])
    assert set(workbench.kernels(path, cpu=True)["basis"]) == {"cpu"}


def test_changes_are_those_of_the_diff(split, tmp_path):
    fused = write(tmp_path / "fused.json", decode_events("fused"))
    diff = compare(summarise(analysed(split)), summarise(analysed(fused)))
    for row, change in zip(changes_frame(diff).to_dict("records"), diff.changes, strict=True):
        assert (row["change"], row["class"], row["delta_us"]) == (
            change.change, change.kernel_class, change.delta_us
        )  # fmt: skip
        assert row["before"] == "\n".join(change.before) if change.before else pd.isna(row["before"])
        assert (row["step_a_us"], row["step_b_us"]) == change.time_us


def test_a_file_that_is_no_trace_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match=r"x\.json"):
        workbench.kernels(tmp_path / "x.json")
