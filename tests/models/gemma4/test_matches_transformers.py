"""Router, experts and block against transformers, on sizes and values drawn afresh."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig as HfTextConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4RMSNorm as HfRMSNorm
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextDecoderLayer as HfDecoderLayer
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextExperts as HfExperts
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRouter as HfRouter

from workbench.models.gemma4 import Gemma4Config, Gemma4Experts, Gemma4MoE, Gemma4RMSNorm, Gemma4Router

FP32 = {"rtol": 1e-5, "atol": 1e-5}
BF16 = {"rtol": 2e-2, "atol": 2e-2}
# transformers ranks fp32 probabilities, in which logits this close are equal.
TIE = {"rtol": 0, "atol": 1e-6}

drawn = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)
tokens = st.integers(0, 17)
routings = st.sampled_from(["fused", "split"])


@st.composite
def hf_configs(draw):
    experts = draw(st.integers(1, 40))
    config = HfTextConfig(
        vocab_size=64,
        hidden_size=draw(st.integers(2, 80)),
        intermediate_size=draw(st.integers(1, 30)),
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        global_head_dim=8,
        hidden_size_per_layer_input=0,
        enable_moe_block=True,
        num_experts=experts,
        top_k_experts=draw(st.integers(1, experts)),
        moe_intermediate_size=draw(st.integers(1, 40)),
        rms_norm_eps=draw(st.sampled_from([1e-6, 1e-3])),
        hidden_activation=draw(st.sampled_from(["gelu_pytorch_tanh", "gelu", "silu"])),
    )
    config._experts_implementation = "eager"
    return config


@torch.no_grad()
def initialise(module, dtype):
    """Parameters far from their neutral values, so that one left out or exchanged shows."""
    for parameter in module.parameters():
        spread = parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
        parameter.normal_(0.0 if parameter.dim() > 1 else 1.0, spread)
    return module.to(dtype)


def twin(ours, theirs):
    ours.load_state_dict(theirs.state_dict())
    return ours


def by_expert(weights, ids, num_experts):
    dense = torch.full((ids.shape[0], num_experts), float("nan"))
    return dense.scatter(1, ids.long(), weights)


def assert_same_routing(ours, theirs, logits, tolerance):
    """Sets may differ by experts that tie with the smallest chosen one; weights of common experts agree."""
    ours, theirs = (by_expert(*routing, logits.shape[1]) for routing in (ours, theirs))
    chosen, expected = ~ours.isnan(), ~theirs.isnan()
    assert torch.equal(chosen.sum(-1), expected.sum(-1))
    smallest = logits.float().masked_fill(~chosen, float("inf")).amin(-1, keepdim=True)
    tied = torch.isclose(logits.float(), smallest, **TIE)
    assert (tied | chosen.eq(expected)).all()
    common = chosen & expected
    torch.testing.assert_close(ours[common], theirs[common], **tolerance)


def has_boundary_tie(logits, top_k):
    """Rows in which the K-th and the next logit are equal, so that the set of experts is open."""
    ordered = logits.float().sort(-1, descending=True).values
    if top_k == logits.shape[1]:
        return torch.zeros(logits.shape[0], dtype=torch.bool)
    return torch.isclose(ordered[:, top_k - 1], ordered[:, top_k], **TIE)


@drawn
@given(shape=st.lists(st.integers(0, 4), max_size=2), size=st.integers(1, 99), seed=seeds)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norm_matches(dtype, shape, size, seed):
    torch.manual_seed(seed)
    theirs = initialise(HfRMSNorm(size, eps=1e-6), dtype)
    hidden = torch.randn(*shape, size).to(dtype)
    ours = twin(Gemma4RMSNorm(size, 1e-6, dtype=dtype), theirs)(hidden)
    assert ours.dtype is dtype
    torch.testing.assert_close(ours, theirs(hidden), rtol=1e-5 if dtype is torch.float32 else 1e-2, atol=1e-5)


@drawn
@given(hf=hf_configs(), count=tokens, routing=routings, seed=seeds)
def test_router_matches_in_fp32(hf, count, routing, seed):
    torch.manual_seed(seed)
    theirs = initialise(HfRouter(hf), torch.float32)
    ours = twin(Gemma4Router(Gemma4Config.from_hf(hf.to_dict()), routing=routing), theirs)
    hidden = torch.randn(count, hf.hidden_size)
    weights, ids = ours(hidden)
    _, their_weights, their_ids = theirs(hidden)
    assert (weights.dtype, ids.dtype) == (torch.float32, torch.int32)
    assert weights.shape == ids.shape == (count, hf.top_k_experts)
    assert_same_routing((weights, ids), (their_weights, their_ids), ours.logits(hidden), FP32)


@drawn
@given(hf=hf_configs(), count=tokens, routing=routings, seed=seeds)
def test_router_matches_in_bf16_up_to_ties(hf, count, routing, seed):
    torch.manual_seed(seed)
    theirs = initialise(HfRouter(hf), torch.bfloat16)
    config = Gemma4Config.from_hf(hf.to_dict())
    ours = twin(Gemma4Router(config, routing=routing, dtype=torch.bfloat16), theirs)
    hidden = torch.randn(count, hf.hidden_size, dtype=torch.bfloat16)
    _, their_weights, their_ids = theirs(hidden)
    assert ours.logits(hidden).dtype is torch.bfloat16
    assert_same_routing(ours(hidden), (their_weights.float(), their_ids), ours.logits(hidden), BF16)


@drawn
@given(hf=hf_configs(), count=tokens, seed=seeds)
def test_experts_match_in_fp32(hf, count, seed):
    torch.manual_seed(seed)
    theirs = initialise(HfExperts(hf), torch.float32)
    ours = twin(Gemma4Experts(Gemma4Config.from_hf(hf.to_dict())), theirs)
    hidden = torch.randn(count, hf.hidden_size)
    weights, ids = torch.randn(count, hf.num_experts).topk(hf.top_k_experts)
    expected = theirs(hidden, ids, weights)
    torch.testing.assert_close(ours(hidden, weights, ids.int()), expected, **FP32)


class PassThrough(nn.Module):
    def forward(self, hidden_states, **_):
        return hidden_states, None


def transformers_block(layer, residual):
    """What the sparse half of the layer read and what it added, in a run of the layer's own forward."""
    seen = {}
    layer.self_attn = PassThrough()
    layer.pre_feedforward_layernorm.register_forward_pre_hook(lambda _, args: seen.update(residual=args[0]))
    layer.post_feedforward_layernorm_2.register_forward_hook(lambda _, args, out: seen.update(block=out))
    layer(residual[None])
    return seen["residual"][0], seen["block"][0]


@drawn
@given(hf=hf_configs(), count=st.integers(1, 17), routing=routings, seed=seeds)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_block_matches_what_the_whole_layer_computes(dtype, hf, count, routing, seed):
    torch.manual_seed(seed)
    layer = initialise(HfDecoderLayer(hf, 0), dtype)
    residual, expected = transformers_block(layer, torch.randn(count, hf.hidden_size, dtype=dtype))
    block = Gemma4MoE(Gemma4Config.from_hf(hf.to_dict()), routing=routing, dtype=dtype)
    block.load_state_dict({name: layer.state_dict()[name] for name in block.state_dict()})
    out = block(residual)
    assert out.dtype is dtype
    settled = ~has_boundary_tie(block.router.logits(residual), hf.top_k_experts)
    tolerance = FP32 if dtype is torch.float32 else {"rtol": 5e-2, "atol": 5e-2}
    torch.testing.assert_close(out[settled], expected[settled], **tolerance)
