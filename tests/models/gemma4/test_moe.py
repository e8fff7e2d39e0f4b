from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call, grad, vmap

from workbench.models.gemma4 import Gemma4Config, Gemma4Experts, Gemma4MoE, experts

TINY = Gemma4Config.preset("tiny")
seeds = st.integers(0, 2**32 - 1)


def token_by_token(experts, hidden, weights, ids):
    """Each token through each of its experts, in float64."""
    rows = []
    for x, row_weights, row_ids in zip(hidden.double(), weights.double(), ids, strict=True):
        row = torch.zeros_like(x)
        for weight, expert in zip(row_weights, row_ids, strict=True):
            gate, up = (experts.gate_up_proj[expert].double() @ x).chunk(2)
            inner = torch.nn.functional.gelu(gate, approximate="tanh") * up
            row += weight * (experts.down_proj[expert].double() @ inner)
        rows.append(row)
    return torch.stack(rows)


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.integers(1, 9),
    hidden_size=st.integers(1, 20),
    inner=st.integers(1, 20),
    num_experts=st.integers(1, 12),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    id_dtype=st.sampled_from([torch.int32, torch.int64]),
    seed=seeds,
    data=st.data(),
)
def test_each_token_gets_the_weighted_sum_of_its_experts(
    tokens, hidden_size, inner, num_experts, dtype, id_dtype, seed, data
):
    top_k = data.draw(st.integers(1, num_experts))
    sizes = {"hidden_size": hidden_size, "moe_intermediate_size": inner}
    routing = {"num_experts": num_experts, "top_k_experts": top_k}
    torch.manual_seed(seed)
    experts = Gemma4Experts(dataclasses.replace(TINY, **sizes, **routing), dtype=dtype)
    hidden = torch.randn(tokens, hidden_size, dtype=dtype)
    weights, ids = torch.randn(tokens, num_experts).topk(top_k)
    out = experts(hidden, weights, ids.to(id_dtype))
    assert out.dtype is dtype
    tolerance = 1e-4 if dtype is torch.float32 else 6e-2
    expected = token_by_token(experts, hidden, weights, ids)
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [0, 1, 7])
def test_gathered_experts_give_what_the_loop_over_experts_gives(tokens, dtype, monkeypatch):
    torch.manual_seed(0)
    module = Gemma4Experts(TINY, dtype=dtype)
    hidden = torch.randn(tokens, TINY.hidden_size, dtype=dtype)
    weights, ids = torch.randn(tokens, TINY.num_experts).topk(TINY.top_k_experts)
    results = []
    for elements in (0, 2**40):
        monkeypatch.setattr(experts, "GATHERED_ELEMENTS", elements)
        results.append(module(hidden, weights, ids))
    tolerance = 1e-5 if dtype is torch.float32 else 3e-2
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_tokens_give_no_rows(dtype):
    block = Gemma4MoE(TINY, dtype=dtype)
    out = block(torch.zeros(0, TINY.hidden_size, dtype=dtype))
    assert (out.shape, out.dtype) == ((0, TINY.hidden_size), dtype)


def test_the_experts_compile_into_one_graph(monkeypatch):
    monkeypatch.setattr(experts, "GATHERED_ELEMENTS", 0)
    block = Gemma4Experts(TINY)
    call = torch.randn(5, TINY.hidden_size), torch.rand(5, 2), torch.randint(TINY.num_experts, (5, 2))
    with torch.no_grad():
        assert torch.equal(torch.compile(block, backend="aot_eager", fullgraph=True)(*call), block(*call))


def test_parameters_are_named_as_in_the_checkpoint_s_layer():
    shapes = {name: list(parameter.shape) for name, parameter in Gemma4MoE(TINY).named_parameters()}
    hidden, inner, experts = TINY.hidden_size, TINY.moe_intermediate_size, TINY.num_experts
    assert shapes == {
        "router.proj.weight": [experts, hidden],
        "router.scale": [hidden],
        "router.per_expert_scale": [experts],
        "experts.gate_up_proj": [experts, 2 * inner, hidden],
        "experts.down_proj": [experts, hidden, inner],
        "pre_feedforward_layernorm_2.weight": [hidden],
        "post_feedforward_layernorm_2.weight": [hidden],
    }


def test_the_real_block_has_the_checkpoint_s_shapes():
    block = Gemma4MoE(Gemma4Config.preset("26b-a4b"), device="meta", dtype=torch.bfloat16)
    assert block.experts.gate_up_proj.shape == (128, 1408, 2816)
    assert block.experts.down_proj.shape == (128, 2816, 704)
    assert block.router.proj.weight.shape == (128, 2816)


def test_a_new_block_keeps_the_scale_of_its_input():
    out = Gemma4MoE(TINY)(torch.randn(64, TINY.hidden_size))
    assert out.isfinite().all()
    assert 0.5 < out.square().mean().sqrt() < 2


def test_substituted_parameters_take_effect_as_loaded_ones_do():
    block, other = Gemma4MoE(TINY), Gemma4MoE(TINY)
    residual = torch.randn(5, TINY.hidden_size)
    for name, value in other.named_parameters():
        substitute = {name: torch.rand_like(value)}
        found = functional_call(block, substitute, (residual,))
        other.load_state_dict({**block.state_dict(), **substitute})
        torch.testing.assert_close(found, other(residual))
        assert not torch.allclose(found, block(residual), atol=1e-3)


def test_functional_gradients_are_those_of_autograd():
    block = Gemma4MoE(TINY)
    residual, target = torch.randn(2, 5, TINY.hidden_size)
    parameters = dict(block.named_parameters())

    def loss(values):
        return (functional_call(block, values, (residual,)) * target).sum()

    found = grad(loss)({name: value.detach() for name, value in parameters.items()})
    loss(parameters).backward()
    for name, parameter in parameters.items():
        assert parameter.grad.abs().sum() > 0, name
        torch.testing.assert_close(found[name], parameter.grad)


def test_gradients_of_the_experts_are_those_of_finite_differences():
    config = dataclasses.replace(TINY, hidden_size=3, moe_intermediate_size=2, num_experts=3, top_k_experts=2)
    experts = Gemma4Experts(config, dtype=torch.float64)
    ids = torch.tensor([[0, 2], [2, 0], [0, 2]])
    arguments = [
        torch.randn(3, 3),
        torch.randn(3, 2),
        experts.gate_up_proj.detach(),
        experts.down_proj.detach(),
    ]
    arguments = [argument.double().requires_grad_() for argument in arguments]

    def run(hidden, weights, gate_up, down):
        return functional_call(experts, {"gate_up_proj": gate_up, "down_proj": down}, (hidden, weights, ids))

    assert torch.autograd.gradcheck(run, arguments)


def test_batched_expert_weights_are_each_applied():
    experts = Gemma4Experts(TINY)
    hidden = torch.randn(4, TINY.hidden_size)
    weights, ids = torch.randn(3, 4, TINY.num_experts).topk(TINY.top_k_experts)
    batched = vmap(lambda batch: experts(hidden, batch, ids[0]))(weights)
    torch.testing.assert_close(batched, torch.stack([experts(hidden, batch, ids[0]) for batch in weights]))


def test_the_router_sees_the_residual_and_not_the_normalised_input():
    block = Gemma4MoE(TINY)
    seen = []
    block.router.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    residual = torch.randn(3, TINY.hidden_size)
    block(residual)
    assert seen[0] is residual


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, 63), (3, 4), (3, 4)), r"hidden: must have shape \[T, 64\], got \[3, 63\]"),
        (((3, 64), (3, 4), (2, 4)), r"ids: must have shape \[3, K\], got \[2, 4\]"),
        (((3, 64), (3, 3), (3, 4)), r"weights: must have shape \[3, 4\], got \[3, 3\]"),
    ],
)
def test_arguments_of_another_shape_are_refused(shapes, message):
    hidden, weights, ids = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        Gemma4Experts(TINY)(hidden, weights, ids.int())
