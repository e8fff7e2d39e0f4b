"""The router and the experts that are put in against those of transformers, in every dtype and up to ties."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integrations.transformers.models import VOCABULARY, answer, causal_model, text_config
from tests.models.gemma4.twins import initialise
from tests.support.interpreter import assert_pass_in_interpreter
from workbench.integrations.transformers import patch

TOLERANCE = {
    torch.float64: {"rtol": 1e-6, "atol": 1e-6},
    torch.float32: {"rtol": 1e-4, "atol": 1e-4},
    torch.bfloat16: {"rtol": 5e-2, "atol": 5e-2},
    torch.float16: {"rtol": 1e-2, "atol": 1e-2},
}
dtypes = pytest.mark.parametrize("dtype", list(TOLERANCE))
seeds = st.integers(0, 2**32 - 1)


def twins(name, dtype, seed, **changes):
    """A router or experts of transformers and the same with ours put in."""
    torch.manual_seed(seed)
    layer = causal_model(seed, dtype, layer_types=["full_attention"], **changes).model.layers[0]
    theirs = initialise(getattr(layer, name)).to(dtype)
    ours = copy.deepcopy(theirs)
    patch(ours)
    return ours, theirs


def assert_same_routing(ours, theirs):
    """Sets may differ by experts whose probability equals the smallest chosen one; common experts' weights agree."""
    probabilities = theirs[0]
    chosen, expected = (by_expert(*routing[1:], probabilities.shape[-1]) for routing in (ours, theirs))
    smallest = probabilities.masked_fill(expected.isnan(), float("inf")).amin(-1, keepdim=True)
    tied = torch.isclose(probabilities, smallest, rtol=1e-5, atol=1e-7)
    assert (tied | chosen.isnan().eq(expected.isnan())).all()
    common = ~(chosen.isnan() | expected.isnan())
    torch.testing.assert_close(chosen[common], expected[common], rtol=1e-2, atol=1e-5)


def by_expert(weights, ids, num_experts):
    dense = weights.new_full((*ids.shape[:-1], num_experts), float("nan"))
    return dense.scatter(-1, ids, weights)


@dtypes
@settings(max_examples=10, deadline=None)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=2), seed=seeds)
def test_a_router_returns_what_the_one_of_transformers_returns(dtype, shape, seed):
    ours, theirs = twins("router", dtype, seed, num_experts=40, top_k_experts=6)
    hidden = torch.randn(*shape, 32).to(dtype)
    mine, others = ours(hidden), theirs(hidden)
    assert [(each.shape, each.dtype) for each in mine] == [(each.shape, each.dtype) for each in others]
    torch.testing.assert_close(mine[0], others[0])
    assert_same_routing(mine, others)


@dtypes
@settings(max_examples=10, deadline=None)
@given(count=st.integers(0, 5), activation=st.sampled_from(["gelu_pytorch_tanh", "gelu", "silu"]), seed=seeds)
def test_experts_return_what_those_of_transformers_return(dtype, count, activation, seed):
    ours, theirs = twins("experts", dtype, seed, hidden_activation=activation)
    hidden = torch.randn(count, 32).to(dtype)
    weights, ids = torch.rand(count, 4).topk(2)
    out, expected = ours(hidden, ids, weights), theirs(hidden, ids, weights)
    assert out.dtype is dtype
    torch.testing.assert_close(out, expected, **TOLERANCE[dtype])


def test_an_expert_of_another_rank_adds_nothing():
    ours, theirs = twins("experts", torch.float32, 0)
    hidden, ids = torch.randn(3, 32), torch.tensor([[0, 4], [4, 4], [2, 3]])
    weights = torch.rand(3, 2).masked_fill(ids == 4, 0.0)
    torch.testing.assert_close(ours(hidden, ids, weights), theirs(hidden, ids, weights))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_patched_model_in_half_precision_answers_the_same_where_no_experts_tie(dtype):
    model = causal_model(dtype=dtype)
    ids = torch.randint(0, VOCABULARY, (12, 5), generator=torch.Generator().manual_seed(1))
    before = model(ids, output_router_logits=True)
    settled = ~torch.stack([ties(layer) for layer in before.router_logits]).any(0).view(ids.shape).any(1)
    assert settled.any()
    patch(model)
    torch.testing.assert_close(answer(model, ids)[settled], before.logits[settled], **TOLERANCE[dtype])


def ties(probabilities):
    """Rows in which the least of the chosen experts is not clearly ahead of the next."""
    top_k = text_config().top_k_experts
    ordered = probabilities.sort(-1, descending=True).values
    return torch.isclose(ordered[:, top_k - 1], ordered[:, top_k], rtol=2e-2)


@pytest.mark.long
def test_the_kernels_run_in_a_patched_model(pytestconfig):
    assert_pass_in_interpreter(pytestconfig, Path(__file__).with_name("interpreted_model.py"))
