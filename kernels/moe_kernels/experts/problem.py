"""What the tunables of the experts share: axes, inputs, reference, comparison, traffic and small problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import expm1, log1p

import torch
from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.dtypes import DTYPES
from moe_kernels.experts.call import KERNEL_DTYPES, ExpertsCall, QuantisedCall, RoutedCall
from moe_kernels.experts.quantised import problem as quantised_problem
from moe_kernels.experts.quantised.problem import GROUPED_WORDS, QUANTISED_WORDS, format_of
from moe_kernels.experts.reference import reference_experts
from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import Axis, Config, Problem, Tensors, Traffic

# Activations beside quantised weights where a problem is swept; configs are used for fp16, too.
QUANTISED_ACTIVATIONS = torch.bfloat16
# Among the steps of e4m3, rounding between two products moves some values to the next one.
EIGHT_BIT_UNITS = 4
AXES = (
    Axis("num_experts", "E"),
    Axis("top_k", "K"),
    Axis("hidden_size", "H"),
    Axis("intermediate_size", "I"),
    Axis("dtype", "dtype", kind="dtype", words=(*DTYPES, *QUANTISED_WORDS)),
    Axis("group_size", "group_size", of_dtypes=GROUPED_WORDS),
    Axis("tokens", "T", ladder=True),
)
PRODUCED = frozenset({"hidden", "weights", "ids"})
# Gemma 4's; a config is tuned on it and used for every activation.
ACTIVATION = Activation.gelu_tanh
MAX_INTERPRETED_PROGRAMS = 8


def draw_routing(tokens: int, num_experts: int, top_k: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Draws a uniform routing: every set of K distinct experts is as likely as any other.

    Returns:
        weights fp32 [T, K] and ids int32 [T, K].
    """
    # More slots than experts only fit with experts that come twice, as they may in a call.
    scores, ids = torch.rand(tokens, max(num_experts, top_k), device=device).topk(top_k, dim=-1)
    return torch.softmax(4 * scores, dim=-1), ids.int() % num_experts


def make_inputs(problem: Problem, device: torch.device) -> dict[str, Tensor]:
    """Draws inputs whose scale the experts keep."""
    tokens, experts, top_k, hidden_size, inner = sizes(problem)
    dtype, weight_format = activation_dtype(problem), format_of(problem)
    weights, ids = draw_routing(tokens, experts, top_k, device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    def projection(name: str, rows: int, columns: int) -> dict[str, Tensor]:
        weight = normal(experts, rows, columns).mul_(columns**-0.5)
        if weight_format is None:
            return {name: weight}
        return quantised_problem.quantised_inputs(name, weight, weight_format)

    return {
        "hidden": normal(tokens, hidden_size),
        **projection("gate_up", 2 * inner, hidden_size),
        **projection("down", hidden_size, inner),
        "weights": weights,
        "ids": ids,
    }


def activation_dtype(problem: Problem) -> torch.dtype:
    """The dtype of hidden states."""
    return DTYPES.get(str(problem["dtype"]), QUANTISED_ACTIVATIONS)


def routed_inputs(
    problem: Problem, device: torch.device, distribution: RoutingDistribution
) -> dict[str, Tensor]:
    """The same with tokens spread over experts as a distribution says."""
    tokens, experts, top_k, *_ = sizes(problem)
    return {**make_inputs(problem, device), "ids": distribution.draw_ids(tokens, experts, top_k, device)}


def sizes(problem: Problem) -> tuple[int, int, int, int, int]:
    """T, E, K, H and I of a problem."""
    names = ("tokens", "num_experts", "top_k", "hidden_size", "intermediate_size")
    tokens, experts, top_k, hidden_size, inner = (int(problem[name]) for name in names)
    return tokens, experts, top_k, hidden_size, inner


def call_of(inputs: Tensors, problem: Problem) -> RoutedCall:
    """The call that a tunable's inputs make."""
    if (weight_format := format_of(problem)) is None:
        return ExpertsCall(**inputs, activation=ACTIVATION)
    *_, hidden_size, inner = sizes(problem)
    return QuantisedCall(
        hidden=inputs["hidden"],
        gate_up=quantised_problem.projection_of("gate_up", inputs, weight_format, hidden_size),
        down=quantised_problem.projection_of("down", inputs, weight_format, inner),
        weights=inputs["weights"],
        ids=inputs["ids"],
        activation=ACTIVATION,
    )


def rows_outputs(problem: Problem, device: torch.device) -> dict[str, Tensor]:
    """Room for quantised activations, where the format of a problem wants them quantised."""
    tokens, _, top_k, hidden_size, inner = sizes(problem)
    if (weight_format := format_of(problem)) is None:
        return {}
    wanted = (tokens, hidden_size), (tokens * top_k, inner)
    return quantised_problem.rows_outputs(weight_format, wanted, device)


def reference(inputs: Tensors, problem: Problem) -> dict[str, Tensor]:
    """The expected output in fp64: from the inputs as they are, nothing in between is rounded to their dtype."""
    call = call_of(inputs, problem)
    return {
        "out": reference_experts(replace(call, hidden=call.hidden.double(), weights=call.weights.double()))
    }


def compare(actual: Tensors, expected: Tensors, problem: Problem) -> str | None:
    """The error against the spread of the output, in units of the dtype's rounding.

    Rounding the values between the two projections disturbs every output by about one unit of the spread, and five
    standard deviations are to be expected among millions; a block left out disturbs it by a hundred units and more.
    """
    out, wanted = actual["out"].double(), expected["out"].double()
    unit = torch.finfo(activation_dtype(problem)).eps * (
        EIGHT_BIT_UNITS if _quantises_activations(problem) else 1
    )
    spread = wanted.square().mean().sqrt()
    error = (out - wanted).abs()
    wrong = ~(error <= unit * (8 * spread + 2 * wanted.abs()))
    if not bool(wrong.any()):
        return None
    return (
        f"out: {int(wrong.sum())} of {wrong.numel()} differ from the reference, by {error[wrong].max():.3g}"
    )


def _quantises_activations(problem: Problem) -> bool:
    weight_format = format_of(problem)
    return weight_format is not None and weight_format.activation_group != 0


def traffic(problem: Problem) -> Traffic:
    """Each expert in use read once, of a uniform routing as many as are to be expected; tokens in and out once."""
    tokens, experts, top_k, hidden_size, inner = sizes(problem)
    width = activation_dtype(problem).itemsize
    expert_bytes = 3 * inner * hidden_size * width
    if (weight_format := format_of(problem)) is not None:
        shapes = (2 * inner, hidden_size), (hidden_size, inner)
        expert_bytes = sum(quantised_problem.bytes_of(weight_format, *shape) for shape in shapes)
    return Traffic(
        bytes_read=round(expected_experts(tokens, experts, top_k) * expert_bytes)
        + tokens * (hidden_size * width + top_k * 8),
        bytes_written=tokens * hidden_size * width,
        flops=2 * tokens * top_k * 3 * inner * hidden_size,
    )


def expected_experts(tokens: int, num_experts: int, top_k: int) -> float:
    """Experts that a uniform routing of T tokens uses, to be expected: E (1 - (1 - K/E)^T)."""
    if top_k >= num_experts:
        return float(num_experts)
    return -num_experts * expm1(tokens * log1p(-top_k / num_experts))


def why_no_problem(problem: Problem) -> str | None:
    """Says why no kernel of the experts can take a problem, or None."""
    if problem["dtype"] not in (*KERNEL_DTYPES, *QUANTISED_WORDS):
        return f"dtype={problem['dtype']} is not one of {', '.join((*KERNEL_DTYPES, *QUANTISED_WORDS))}"
    return quantised_problem.why_no_format(problem)


def why_no_block(problem: Problem, config: Config, limits: Mapping[str, tuple[int, int]]) -> str | None:
    """Says which parameter is no power of two within its limits, or too small for the dtype, or None."""
    for name, (least, most) in limits.items():
        value = int(config[name])
        if value < least or value > most or value & (value - 1):
            return f"{name}={value} is no power of two from {least} to {most}"
    # What an instruction of the tensor cores takes, and what a compiler that scales by groups takes.
    depth, least = int(config["BLOCK_SIZE_K"]), 64 if config.get("dot_scaled") else 32
    if depth < least and (_quantises_activations(problem) or config.get("dot_scaled")):
        return f"BLOCK_SIZE_K={depth} is less than {least} with dtype={problem['dtype']}"
    return None


def interpreter_problem(problem: Problem, *, depth: int, up_columns: int, down_columns: int) -> Problem:
    """The most telling small problem that makes at most 8 programs a launch.

    It keeps the remainders of H and I by the block of depth, with two experts where that leaves few enough programs,
    else with one; where neither does, the remainders by half the block, and so on down.

    Args:
        problem: the real one.
        depth: the block of depth of both products.
        up_columns: the block of columns of the first product, gate and up counted.
        down_columns: the block of columns of the second product.
    """
    found, least = problem, quantised_problem.divisor_of_sizes(problem)
    for block, count in ((block, count) for block in _halvings(depth) for count in (2, 1)):
        blocks = MAX_INTERPRETED_PROGRAMS // count
        hidden_size = _shrunk(int(problem["hidden_size"]), block, blocks * down_columns, least)
        inner = _shrunk(int(problem["intermediate_size"]), block, blocks * up_columns // 2, least)
        found = _small_problem(problem, count, hidden_size or least, inner or least)
        if hidden_size and inner:
            break
    return found


def _small_problem(problem: Problem, count: int, hidden_size: int, inner: int) -> Problem:
    tokens, experts, top_k, *_ = sizes(problem)
    return {
        **problem,
        "num_experts": min(count, experts),
        "top_k": min(count, top_k),
        "hidden_size": hidden_size,
        "intermediate_size": inner,
        # Kernels may distinguish calls with no more slots than experts.
        "tokens": 1 if tokens * top_k <= experts else min(count, tokens),
    }


def _halvings(block: int) -> Iterator[int]:
    while block:
        yield block
        block //= 2


def _shrunk(size: int, block: int, most: int, divisor: int) -> int | None:
    """A size with the remainder of the real one by `block`, of two blocks rather than one; None where none fits."""
    remainder = size % block
    fitting = (
        small
        for small in (block + (remainder or block), remainder or block)
        if small <= min(most, size) and small % divisor == 0
    )
    return next(fitting, None)
