from __future__ import annotations

import json

import pytest

from tests.timeline.traces import GEMM, analysed, decode_events, kernel, summarised, write
from workbench.base.errors import InputError
from workbench.timeline.chrome import arm_of, chrome_trace, write_trace


@pytest.fixture
def arms(tmp_path):
    split = analysed(write(tmp_path / "split.json", decode_events("split", origin=5_000_000)))
    fused = analysed(write(tmp_path / "fused.json.gz", decode_events("fused", origin=900)))
    return split, fused


def work(trace, process):
    return [each for each in trace["traceEvents"] if each["pid"] == process and each.get("cat") == "kernel"]


def test_arms_are_processes_on_one_clock_that_starts_with_their_step(arms):
    merged = chrome_trace([arm_of("split", arms[0]), arm_of("fused", arms[1])])
    names = {each["args"]["name"] for each in merged["traceEvents"] if each["name"] == "process_name"}
    assert names == {"split", "fused"}
    assert [min(each["ts"] for each in work(merged, process)) for process in (0, 1)] == [0.0, 0.0]


def test_a_merged_trace_reads_back_with_the_same_figures(arms, tmp_path):
    for arm in arms:
        write_trace(tmp_path / "one.json.gz", chrome_trace([arm_of("arm", arm)]))
        again = summarised(tmp_path / "one.json.gz")
        assert again.total.busy_us == pytest.approx(sum(step.busy_us for step in again.steps))
        assert again.layers.count == 4
        assert again.total.kernel_count == len(arm.trace.work)


def test_details_of_the_launch_are_kept(arms):
    event = work(chrome_trace([arm_of("split", arms[0])]), 0)[0]
    assert (event["args"]["grid"], event["args"]["registers per thread"]) == ([888, 1, 1], 44)
    assert event["args"]["class"] == "norm"


def test_a_single_step_is_cut_out(arms):
    cut = chrome_trace([arm_of("split", arms[0], 1)])
    assert len(work(cut, 0)) == len(arms[0].steps.steps[1].members)


@pytest.mark.parametrize("step", [3, -1])
def test_a_step_that_is_not_there_is_an_error(arms, step):
    with pytest.raises(InputError, match="steps 0 to 2"):
        arm_of("split", arms[0], step)


def test_what_is_written_is_json_and_the_same_each_time(arms, tmp_path):
    merged = chrome_trace([arm_of("split", arms[0])])
    for name in ("a.json", "b.json", "a.json.gz", "b.json.gz"):
        write_trace(tmp_path / name, merged)
    assert json.loads((tmp_path / "a.json").read_bytes()) == json.loads(json.dumps(merged))
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_a_folder_that_cannot_be_written_is_one_error(arms, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_trace(tmp_path / "file" / "out.json", chrome_trace([arm_of("split", arms[0])]))


def test_names_and_arguments_that_hold_anything_stay_strings(tmp_path):
    odd = kernel(GEMM + '"\u2028\ud800', 0, 5, grid=[1, {"a": 1}, 3], block="<b>")
    trace = chrome_trace([arm_of("a", analysed(write(tmp_path / "odd.json", [odd])))])
    write_trace(tmp_path / "out.json", trace)
    (event,) = work(trace, 0)
    assert {"grid", "block"}.isdisjoint(event["args"])
