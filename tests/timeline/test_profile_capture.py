from __future__ import annotations

import numpy as np
import pytest

from tests.timeline.traces import FUSED, analysed, decode_events, summary_of, write
from workbench.timeline.arms import ARMS, liveness_of, not_tuned
from workbench.timeline.capture import StepBlock, interleaved, part_of
from workbench.timeline.liveness import check_liveness
from workbench.timeline.summary import summarise


@pytest.fixture
def analysis(tmp_path):
    return analysed(write(tmp_path / "trace.json", decode_events("split")))


def test_arms_take_turns():
    assert interleaved(["a", "b"], 2, 3) == (
        StepBlock("a", 3),
        StepBlock("b", 3),
        StepBlock("a", 3),
        StepBlock("b", 3),
    )


def test_a_part_keeps_the_figures_of_its_steps_and_loses_the_time_between(analysis):
    steps, whole = analysis.steps.steps, summarise(analysis)
    part = summarise(part_of(analysis, [[steps[0]], [steps[2]]], "split"))
    assert [step.busy_us for step in part.steps] == [whole.steps[0].busy_us, whole.steps[2].busy_us]
    assert part.total.span_us == pytest.approx(whole.steps[0].span_us + whole.steps[2].span_us)
    assert part.layers.count == whole.layers.count


def test_the_work_of_a_part_is_sorted_and_launched_before_it_runs(analysis):
    steps = analysis.steps.steps
    work = part_of(analysis, [[steps[2]], [steps[0]]], "split").trace.work
    assert (np.diff(work.start) >= 0).all()
    assert (work.launched <= work.start).all()


@pytest.mark.parametrize("ran", ["split", "fused"])
def test_on_a_gpu_the_kernels_tell_the_arms_apart(tmp_path, ran):
    events = decode_events(ran)
    for event in events:
        if event.get("name") == FUSED:
            event["name"] = "routing_kernel"
    summary = summary_of(tmp_path / "trace.json", events)
    alive = {name for name in ARMS if not check_liveness(name, liveness_of(name, "gpu", 4), summary)}
    assert alive == ({"split"} if ran == "split" else {"fused", "tuned"})


def test_an_arm_that_finds_no_results_on_a_gpu_is_not_tuned():
    assert not_tuned(ARMS["tuned"], {"routing": None, "experts": None}, "gpu")[0].startswith("arm tuned")
    assert not_tuned(ARMS["tuned"], {"routing": "a row", "experts": None}, "gpu") == ()
    assert not_tuned(ARMS["tuned"], {"routing": None}, "cpu") == ()
    assert not_tuned(ARMS["fused"], {"routing": None}, "gpu") == ()
