"""Gradients of the experts: the operator's own formula, and torch.func's transforms over the torch operations."""

from __future__ import annotations

import pytest
import torch

from moe_kernels.experts import fused_experts
from tests.moe_kernels.experts.cases import draw_tensors
from tests.moe_kernels.experts.oracle import GATED, UNGATED


def doubles(activation="gelu_tanh", routing="some_foreign"):
    *floats, ids = draw_tensors((4, 3, 2, 3, 2), dtype=torch.float64, activation=activation, routing=routing)
    return [tensor.double().requires_grad_() for tensor in floats], ids


@pytest.mark.parametrize("activation", [*GATED, *UNGATED])
@pytest.mark.parametrize("routing", ["distinct", "one_expert_a_row", "some_foreign", "all_foreign"])
def test_gradients_are_those_of_finite_differences(activation, routing):
    inputs, ids = doubles(activation, routing)
    assert torch.autograd.gradcheck(
        lambda *floats: fused_experts(*floats, ids, activation=activation), inputs
    )


def test_frozen_experts_get_no_gradient_and_the_others_the_same():
    (hidden, gate_up, down, weights), ids = doubles()
    everything = torch.autograd.grad(
        fused_experts(hidden, gate_up, down, weights, ids).sum(), (hidden, gate_up, down, weights)
    )
    frozen = fused_experts(hidden, gate_up.detach(), down.detach(), weights, ids).sum()
    torch.testing.assert_close(torch.autograd.grad(frozen, (hidden, weights)), (everything[0], everything[3]))


def test_functional_gradients_are_those_of_autograd():
    inputs, ids = doubles()

    def loss(*floats):
        return fused_experts(*floats, ids).square().sum()

    found = torch.func.grad(loss, argnums=(0, 1, 2, 3))(*(tensor.detach() for tensor in inputs))
    torch.testing.assert_close(found, torch.autograd.grad(loss(*inputs), inputs))


def test_batches_of_tokens_are_each_computed():
    (hidden, gate_up, down, weights), ids = doubles()
    batch = torch.stack([hidden, hidden * 2, -hidden])
    out = torch.func.vmap(lambda each: fused_experts(each, gate_up, down, weights, ids))(batch)
    expected = torch.stack([fused_experts(each, gate_up, down, weights, ids) for each in batch])
    torch.testing.assert_close(out, expected)


def test_gradients_in_bf16_are_near_those_in_fp64():
    inputs, ids = doubles(routing="distinct")
    narrow = [tensor.detach().bfloat16().requires_grad_() for tensor in inputs[:3]]
    narrow.append(inputs[3].detach().float().requires_grad_())
    expected = torch.autograd.grad(fused_experts(*inputs, ids).sum(), inputs)
    found = torch.autograd.grad(fused_experts(*narrow, ids).sum(), narrow)
    assert [tensor.dtype for tensor in found] == [torch.bfloat16] * 3 + [torch.float32]
    for near, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(near.double(), exact, rtol=5e-2, atol=5e-2)
