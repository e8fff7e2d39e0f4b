"""The gradients of the experts by plain torch operations, expert by expert."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from moe_kernels.activation import Activation
from moe_kernels.experts.call import ExpertsCall
from moe_kernels.experts.reference import sort_by_expert, wide

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]


def experts_gradients(call: ExpertsCall, grad: Tensor, *, of_projections: bool) -> Gradients:
    """The chain rule through `reference_experts`, which is run again: nothing of the forward pass is kept.

    Args:
        call: the arguments of the forward pass.
        grad: [T, H], of its result.
        of_projections: False leaves out the gradients of the experts' own weights, which are as large as these.

    Returns:
        The gradients of hidden, gate_up, down and weights; a foreign slot adds nothing to them.
    """
    weights = wide(call.weights).flatten()
    by_slot = call.hidden.new_zeros((call.num_slots, call.hidden_size))
    grad_weights = torch.zeros_like(weights)
    kept = call.num_experts if of_projections else 0
    grad_gate_up, grad_down = torch.zeros_like(call.gate_up[:kept]), torch.zeros_like(call.down[:kept])
    for expert, slots in _slots_by_expert(call):
        tokens = slots // call.top_k
        before = functional.linear(call.hidden[tokens], call.gate_up[expert])
        inner = call.activation.apply(before)
        output = functional.linear(inner, call.down[expert])
        grad_weights[slots] = (grad[tokens].to(weights.dtype) * output).sum(-1)
        grad_output = (grad[tokens] * weights[slots].unsqueeze(-1)).to(grad.dtype)
        grad_before = _activation_gradient(call.activation, before, grad_output @ call.down[expert])
        by_slot[slots] = grad_before @ call.gate_up[expert]
        if of_projections:
            grad_down[expert] = grad_output.T @ inner
            grad_gate_up[expert] = grad_before.T @ call.hidden[tokens]
    grad_hidden = by_slot.view(*call.ids.shape, call.hidden_size).sum(dim=1)
    return grad_hidden, grad_gate_up, grad_down, grad_weights.view(call.weights.shape).to(call.weights.dtype)


def _slots_by_expert(call: ExpertsCall) -> Iterator[tuple[int, Tensor]]:
    _, order, counts = sort_by_expert(call)
    slots = torch.split(order, counts)
    return ((expert, slots[expert]) for expert in range(call.num_experts) if counts[expert])


def _activation_gradient(activation: Activation, before: Tensor, grad: Tensor) -> Tensor:
    if not activation.is_gated:
        return _pointwise_gradient(activation, before, grad)
    gate, up = before.chunk(2, dim=-1)
    function = Activation(f"{activation.value}_no_mul")
    return torch.cat([_pointwise_gradient(function, gate, grad * up), grad * function.apply(gate)], dim=-1)


def _pointwise_gradient(activation: Activation, gate: Tensor, grad: Tensor) -> Tensor:
    function = activation.value.removesuffix("_no_mul")
    if function == "silu":
        gradient: Tensor = torch.ops.aten.silu_backward(grad, gate)
    else:
        approximate = "tanh" if function == "gelu_tanh" else "none"
        gradient = torch.ops.aten.gelu_backward(grad, gate, approximate=approximate)
    return gradient
