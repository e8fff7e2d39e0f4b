from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moe_kernels.routing import fused_routing, split_routing
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.models.gemma4.arms import ARMS, running
from workbench.models.gemma4.router import Gemma4Router
from workbench.report.profile import profile_record, profile_tables, write_profile
from workbench.timeline.analysis import analyse_file
from workbench.timeline.arms import select_arms
from workbench.timeline.profile import ROUNDS, ProfileRequest, run_profile
from workbench.timeline.rules import load_rules
from workbench.timeline.summary import summarise

TINY = Gemma4Config.preset("tiny").with_layers(2)


def profiled(*arms, steps=1, batch=2):
    request = ProfileRequest(
        model="tiny",
        config=TINY,
        arms=arms,
        batch=batch,
        context=8,
        steps=steps,
        graph=False,
        device=torch.device("cpu"),
        seed=0,
    )
    return run_profile(request, lambda line: None)


@pytest.fixture(scope="module")
def honest():
    return profiled(*select_arms(["split", "fused", "tuned"]), steps=2)


@pytest.fixture(scope="module")
def wrong_kernels():
    """An arm that claims to be fused and runs torch's operations."""
    return profiled(ARMS["split"], replace(ARMS["fused"], route=split_routing))


@pytest.fixture(scope="module")
def wrong_results():
    """An arm that runs its own kernels and picks the worst experts."""

    def worst(logits, scale, top_k):
        return fused_routing(-logits, scale, top_k)

    return profiled(ARMS["split"], replace(ARMS["fused"], route=worst))


def routing_of(arm):
    return next(each for each in arm.summary.per_step.classes if each.name == "routing")


def test_honest_arms_pass_and_show_what_each_gains(honest):
    assert honest.failures == ()
    assert [each.arm for each in honest.speedups] == ["fused", "tuned"]
    first, second = honest.arms[0].step_us, honest.arms[1].step_us
    assert honest.speedups[0].throughput_gain == pytest.approx(first.median / second.median - 1)


def test_each_arm_has_its_own_steps_without_the_other_arms(honest):
    for arm in honest.arms:
        assert arm.summary.per_step.count == ROUNDS * 2
        assert {step.kernel_count for step in arm.summary.steps} == {0}
    assert routing_of(honest.arms[0]).launches != routing_of(honest.arms[1]).launches
    assert routing_of(honest.arms[1]).launches == routing_of(honest.arms[2]).launches


def test_the_time_of_other_arms_is_cut_out(honest):
    for arm in honest.arms:
        steps = sum(step.span_us for step in arm.summary.steps)
        assert arm.summary.total.span_us < 1.5 * steps


def test_an_arm_that_runs_other_kernels_fails_by_name_and_gains_nothing(wrong_kernels):
    assert wrong_kernels.speedups is None
    assert all(failure.startswith("liveness: arm fused: ") for failure in wrong_kernels.failures)
    assert any("aten::topk" in failure for failure in wrong_kernels.failures)
    assert wrong_kernels.agreements[0].failures == ()


def test_an_arm_with_other_results_fails_although_it_runs_its_kernels(wrong_results):
    assert wrong_results.speedups is None
    assert all(failure.startswith("correctness: arm fused: ") for failure in wrong_results.failures)
    assert any("expert sets differ" in failure for failure in wrong_results.failures)


def uniform(logits, scale, top_k):
    weights, ids = fused_routing(logits, scale, top_k)
    return torch.full_like(weights, 1 / top_k), ids


def unscaled(logits, scale, top_k):
    return fused_routing(logits, torch.ones_like(scale), top_k)


@pytest.mark.parametrize("route", [uniform, unscaled])
def test_right_experts_with_wrong_weights_fail_too(route):
    found = profiled(ARMS["split"], replace(ARMS["fused"], route=route))
    assert any("nats" in failure for failure in found.failures)


def test_a_red_arm_shows_no_comparison_anywhere(wrong_results, tmp_path):
    record = profile_record(wrong_results)
    assert (record.passed, record.speedups, record.diffs) == (False, None, ())
    assert all(arm.step_us is None for arm in record.arms.values())
    write_profile(wrong_results, tmp_path)
    for name in ("summary.md", "timeline.html"):
        shown = (tmp_path / name).read_text()
        assert "Steps per second" not in shown
        assert "no speed-up is shown" in shown


def test_table_record_and_page_say_that_the_times_are_of_a_cpu(honest, tmp_path):
    write_profile(honest, tmp_path)
    assert any("not GPU times" in note for note in profile_tables(honest)[0].notes)
    assert any("not GPU times" in note for note in profile_record(honest).notes)
    assert "not GPU times" in (tmp_path / "timeline.html").read_text()


def test_the_written_trace_of_an_arm_reads_back_with_its_steps(honest, tmp_path):
    files = write_profile(honest, tmp_path)
    for arm in honest.arms:
        again = summarise(analyse_file(files[arm.arm.name], load_rules(), cpu=True))
        assert again.per_step.count == arm.summary.per_step.count
        assert again.per_step.busy_us.median == pytest.approx(arm.summary.per_step.busy_us.median, abs=0.01)


def test_an_arm_runs_on_the_same_weights_and_leaves_the_model_as_it_was():
    model = Gemma4ForCausalLM.random(TINY, "cpu", torch.bfloat16)
    before = {name: tensor.data_ptr() for name, tensor in model.named_parameters()}
    routers = [each for each in model.modules() if isinstance(each, Gemma4Router)]
    with pytest.raises(KeyError), running(model, ARMS["split"]):
        assert all(router.route is split_routing for router in routers)
        raise KeyError
    assert all(router.route is fused_routing for router in routers)
    assert {name: tensor.data_ptr() for name, tensor in model.named_parameters()} == before
