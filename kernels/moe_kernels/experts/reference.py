"""The experts by plain torch operations: tokens sorted by expert, one matrix product per expert in use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from moe_kernels.experts.call import RoutedCall
from moe_kernels.formats import QuantisedWeights, quantised_linear


def reference_experts(call: RoutedCall) -> Tensor:
    """The semantics of `fused_experts` in plain torch operations, on any device, dtype and tensor subclass.

    Every step rounds to the dtype of `hidden`, to which the weights of one expert in use are taken at a time, but the
    routed weight multiplies in fp32 or wider. One host synchronisation, for the number of tokens of each expert.

    Returns:
        [T, H] in the dtype of `hidden`.
    """
    if not call.num_slots:
        return torch.zeros_like(call.hidden)
    owners, order, counts = sort_by_expert(call)
    outputs = _run_experts(call, call.hidden[order // call.top_k], counts)
    weighted = (outputs * wide(call.weights).flatten()[order].unsqueeze(-1)).to(call.hidden.dtype)
    # A routed weight may be infinite or NaN, and must not reach a token through a foreign expert.
    is_foreign = (owners == call.num_experts)[order].unsqueeze(-1)
    weighted = torch.where(is_foreign, torch.zeros_like(weighted), weighted)
    # Back to token order and summed there: unlike index_add, the same result in every run on a GPU.
    by_slot = weighted[order.argsort()].view(call.num_tokens, call.top_k, call.hidden_size)
    return by_slot.sum(dim=1)


def sort_by_expert(call: RoutedCall) -> tuple[Tensor, Tensor, list[int]]:
    """Sorts slots by expert, those of experts out of range last.

    Returns:
        Each slot's expert, E for one out of range; the slots in order; how many each expert has, and how many none.
    """
    ids = call.ids.flatten()
    owners = torch.where((ids >= 0) & (ids < call.num_experts), ids, call.num_experts)
    counts = torch.bincount(owners, minlength=call.num_experts + 1)
    # Tensor subclasses have no `tolist`.
    listed = counts.tolist() if type(counts) is Tensor else [int(count) for count in counts]
    return owners, owners.argsort(stable=True), listed


def wide(weights: Tensor) -> Tensor:
    """Routed weights as they multiply: in fp32, or fp64 where they are."""
    return weights if weights.dtype is torch.float64 else weights.float()


def _run_experts(call: RoutedCall, slots: Tensor, counts: list[int]) -> Tensor:
    """Runs slots [T*K, H], sorted by expert, `counts[e]` of them through expert e and the rest through none."""
    projections = zip(_unbind(call.gate_up), _unbind(call.down), strict=True)
    *parts, foreign = torch.split(slots, counts)
    outputs = [
        _project(call.activation.apply(_project(part, gate_up)), down)
        for part, (gate_up, down) in zip(parts, projections, strict=True)
        if part.shape[0]
    ]
    return torch.cat([*outputs, torch.zeros_like(foreign)])


def _unbind(projection: Tensor | QuantisedWeights) -> Sequence[Tensor | QuantisedWeights]:
    """Each expert's matrix."""
    if isinstance(projection, QuantisedWeights):
        return [projection.expert(index) for index in range(projection.shape[0])]
    # Unbinding makes one gradient per projection; indexing would make a full-size one for each expert.
    return projection.unbind()


def _project(rows: Tensor, matrix: Tensor | QuantisedWeights) -> Tensor:
    if isinstance(matrix, QuantisedWeights):
        return quantised_linear(rows, matrix)
    return functional.linear(rows, matrix.to(rows.dtype))
