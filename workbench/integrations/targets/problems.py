"""The problems of the engines' fused MoE kernels: axes, inputs, reference, comparison and traffic."""

from __future__ import annotations

from collections.abc import Mapping
from math import expm1, log1p

import torch
from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.dtypes import DTYPES
from moe_kernels.routing_distribution import UNIFORM, RoutingDistribution
from moe_kernels.tunable import Axis, Problem, Tensors, Traffic

# How far an output may be from the reference, of the largest: what rounding of the two intermediate results leaves.
TOLERANCE: Mapping[str, float] = {"bf16": 2e-2, "fp16": 5e-3, "fp32": 5e-3}

AXES = (
    Axis("num_experts", "E"),
    Axis("top_k", "K"),
    Axis("hidden_size", "H"),
    Axis("intermediate_size", "I"),
    Axis("dtype", "dtype", kind="dtype"),
    Axis("tokens", "T", ladder=True),
)


def make_inputs(problem: Problem, device: torch.device) -> dict[str, Tensor]:
    """Draws inputs whose scale the experts keep, and a uniform routing."""
    return routed_inputs(problem, device, UNIFORM)


def routed_inputs(
    problem: Problem, device: torch.device, distribution: RoutingDistribution
) -> dict[str, Tensor]:
    """The same with tokens spread over experts as a distribution says."""
    tokens, experts, top_k, hidden_size, inner = _sizes(problem)
    dtype = DTYPES[str(problem["dtype"])]
    scores = torch.rand(tokens, top_k, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    return {
        "hidden": normal(tokens, hidden_size),
        "gate_up": normal(experts, 2 * inner, hidden_size).mul_(hidden_size**-0.5),
        "down": normal(experts, hidden_size, inner).mul_(inner**-0.5),
        "weights": torch.softmax(4 * scores, dim=-1),
        "ids": distribution.draw_ids(tokens, experts, top_k, device),
    }


def make_outputs(problem: Problem, device: torch.device) -> dict[str, Tensor]:
    """The output, uninitialised."""
    tokens, _, _, hidden_size, _ = _sizes(problem)
    return {"out": torch.empty(tokens, hidden_size, dtype=DTYPES[str(problem["dtype"])], device=device)}


def _sizes(problem: Problem) -> tuple[int, int, int, int, int]:
    names = ("tokens", "num_experts", "top_k", "hidden_size", "intermediate_size")
    tokens, experts, top_k, hidden_size, inner = (int(problem[name]) for name in names)
    return tokens, experts, top_k, hidden_size, inner


def reference_out(inputs: Tensors, activation: Activation) -> Tensor:
    """The experts one after the other in fp32; nothing in between is rounded."""
    hidden, weights, ids = inputs["hidden"].float(), inputs["weights"], inputs["ids"]
    out = torch.zeros_like(hidden)
    for expert in sorted(set(ids.reshape(-1).tolist())):
        token, slot = (ids == expert).nonzero(as_tuple=True)
        inner = activation.apply(hidden[token] @ inputs["gate_up"][expert].float().T)
        rows = inner @ inputs["down"][expert].float().T
        out.index_add_(0, token, rows * weights[token, slot].unsqueeze(1))
    return out.to(inputs["hidden"].dtype)


def compare(actual: Tensors, expected: Tensors, problem: Problem) -> str | None:
    """Every element within the share of the largest that `TOLERANCE` allows the dtype."""
    out, reference = actual["out"].float(), expected["out"].float()
    allowed = TOLERANCE[str(problem["dtype"])] * float(reference.abs().max())
    error = (out - reference).abs()
    if bool((error <= allowed).all()):
        return None
    wrong = int((~(error <= allowed)).sum())
    return f"out: {wrong} of {out.numel()} differ by more than {allowed:.3g}, by {float(error.max()):.3g} at most"


def traffic(problem: Problem) -> Traffic:
    """Weights of the experts that a uniform routing is expected to hit read once, activations once each way."""
    tokens, experts, top_k, hidden_size, inner = _sizes(problem)
    itemsize = DTYPES[str(problem["dtype"])].itemsize
    # E (1 - (1 - K/E)^T), without losing digits where K/E is small.
    hit = experts if top_k == experts else -experts * expm1(tokens * log1p(-top_k / experts))
    weights = 3 * inner * hidden_size
    return Traffic(
        bytes_read=round(hit * weights * itemsize) + tokens * (hidden_size * itemsize + top_k * 8),
        bytes_written=tokens * hidden_size * itemsize,
        flops=2 * tokens * top_k * weights,
    )
