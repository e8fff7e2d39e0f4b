from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moe_kernels import tuned
from moe_kernels.registry import TUNABLES
from moe_kernels.routing import split_routing
from workbench.bench.gemma4 import compare
from workbench.bench.gemma4.models import ModelSource, open_model
from workbench.models.gemma4 import Gemma4Experts, arms

PROBLEM = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "dtype": "bf16"}


@pytest.fixture(scope="module")
def model():
    return open_model(ModelSource(preset="tiny", device=torch.device("cpu"))).model


@pytest.fixture
def ids():
    return torch.randint(512, (2, 24), generator=torch.Generator().manual_seed(3))


def test_arms_that_compute_the_same_are_within_the_floor(model, ids):
    judged, configs, floor = compare.compare_arms(model, ["split", "fused"], ids)
    assert [(each.arm, each.passes, each.quality.tokens) for each in judged] == [("fused", True, 48)]
    assert configs[0].quality.kl_mean > 0, "another order of summation shows"
    assert floor.kl_mean >= configs[0].quality.kl_mean


def test_an_arm_that_routes_to_the_second_best_is_beyond_the_floor(model, ids, monkeypatch):
    def next_best(logits, scale, top_k):
        weights, ids = split_routing(logits, scale, top_k + 1)
        return weights[:, 1:].contiguous(), ids[:, 1:].contiguous()

    monkeypatch.setitem(arms.ARMS, "fused", replace(arms.ARMS["fused"], route=next_best))
    judged, _, _ = compare.compare_arms(model, ["split", "fused"], ids)
    assert judged[0].passes is False
    assert judged[0].quality.expert_mismatch > 0.9


def test_an_arm_whose_weights_are_a_little_off_is_beyond_the_floor(model, ids, monkeypatch):
    def flatter(logits, scale, top_k):
        weights, ids = split_routing(logits, scale, top_k)
        return weights**0.95, ids

    monkeypatch.setitem(arms.ARMS, "fused", replace(arms.ARMS["fused"], route=flatter))
    judged, _, floor = compare.compare_arms(model, ["split", "fused"], ids)
    assert judged[0].quality.kl_mean > floor.kl_mean
    assert judged[0].passes is False


def test_the_tokens_before_are_what_both_arms_read(model, ids):
    """The logits of the last step are those of one pass over the whole text."""
    seen = []
    original, compare_logits = compare._add, lambda found, one, other, model: seen.append(one.logits)
    compare._add = compare_logits
    try:
        compare._teacher_force(model, [("split", arms.AS_IS)] * 2, ids)
    finally:
        compare._add = original
    whole = model(ids)[:, -1].detach()
    assert torch.allclose(torch.from_numpy(seen[-1]).float(), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", compare._ON_GPU, ids=lambda variant: variant.name)
def test_the_configs_of_the_floor_are_ones_that_the_kernels_take(variant):
    for name, config in variant.configs.items():
        kernel = TUNABLES[name]
        complete = kernel.complete(config)
        assert complete != kernel.default_config
        assert kernel.why_rejected({**PROBLEM, "tokens": 8}, complete) is None


def test_arms_other_than_tuned_take_no_tuned_config(model):
    with arms.running(
        model, arms.ARMS["fused"], arms.Variant("x", backend="torch", configs={"routing": {"num_warps": 8}})
    ):
        problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
        assert tuned.lookup("routing", problem, 8, "NVIDIA_B200")["num_warps"] == 8
        assert tuned.lookup("experts", PROBLEM, 8, "NVIDIA_B200") == TUNABLES["experts"].default_config
        assert {each.backend for each in model.modules() if isinstance(each, Gemma4Experts)} == {"torch"}
    with arms.running(model, arms.ARMS["tuned"]):
        assert (
            arms.tuned.lookup("routing", problem, 8, "NVIDIA_B200")
            == tuned.explain("routing", problem, 8, "NVIDIA_B200").config
        )
        assert {each.backend for each in model.modules() if isinstance(each, Gemma4Experts)} == {"auto"}
