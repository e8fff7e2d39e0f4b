"""The routing kernel as it describes itself to sweeps, tests, benchmarks and the lookup."""

from __future__ import annotations

import torch
import triton

from moe_kernels.dtypes import DTYPES
from moe_kernels.routing.kernel import routing_kernel
from moe_kernels.routing.reference import reference_routing
from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import (
    Axis,
    Config,
    KernelLaunch,
    Parameter,
    Problem,
    Tensors,
    Traffic,
    TunableKernel,
)

MAX_EXPERTS = 1024
ALGORITHMS = ("sort", "topk", "select", "two_step")
INTERPRETED_PROGRAMS = 2


def routing_launch(
    logits: torch.Tensor,
    per_expert_scale: torch.Tensor,
    weights: torch.Tensor,
    ids: torch.Tensor,
    config: Config,
) -> KernelLaunch:
    """Describes the launch that routes `logits` under a complete config.

    Args:
        logits: [T, E], fp32, bf16 or fp16, unit stride along E.
        per_expert_scale: [E], contiguous, floating point.
        weights: [T, K] fp32, contiguous, written.
        ids: [T, K] int32, contiguous, written.
        config: every parameter of the routing kernel.
    """
    (num_tokens, num_experts), top_k = logits.shape, weights.shape[1]
    tokens_per_program = int(config["tokens_per_program"])
    return KernelLaunch(
        kernel=routing_kernel,
        grid=(triton.cdiv(num_tokens, tokens_per_program), 1, 1),
        arguments={
            "logits_ptr": logits,
            "scale_ptr": per_expert_scale,
            "weights_ptr": weights,
            "ids_ptr": ids,
            "num_tokens": num_tokens,
            "logits_stride": logits.stride(0),
        },
        constexprs={
            "E": num_experts,
            "K": top_k,
            # tl.topk of one element is broken before Triton 3.9, so no block is narrower than two.
            "BLOCK_E": max(2, triton.next_power_of_2(num_experts)),
            "BLOCK_K": max(2, triton.next_power_of_2(top_k)),
            "TOKENS": tokens_per_program,
            "ALGORITHM": config["algorithm"],
            "SCALE_ROW": config["scale_load"] == "row",
        },
        options={"num_warps": config["num_warps"], "enable_fp_fusion": True},
    )


def _make_inputs(problem: Problem, device: torch.device) -> Tensors:
    shape = int(problem["tokens"]), int(problem["num_experts"])
    logits = torch.randn(shape, device=device).to(DTYPES[str(problem["dtype"])])
    return {"logits": logits, "per_expert_scale": torch.rand(shape[1], device=device) + 0.5}


def _routed_inputs(problem: Problem, device: torch.device, distribution: RoutingDistribution) -> Tensors:
    tokens, experts, top_k = (int(problem[axis]) for axis in ("tokens", "num_experts", "top_k"))
    logits = distribution.draw_logits(tokens, experts, top_k, device).to(DTYPES[str(problem["dtype"])])
    return {**_make_inputs(problem, device), "logits": logits}


def _make_outputs(problem: Problem, device: torch.device) -> Tensors:
    shape = int(problem["tokens"]), int(problem["top_k"])
    return {
        "weights": torch.empty(shape, dtype=torch.float32, device=device),
        "ids": torch.empty(shape, dtype=torch.int32, device=device),
    }


def _launches(
    inputs: Tensors, outputs: Tensors, problem: Problem, config: Config
) -> tuple[KernelLaunch, ...]:
    launch = routing_launch(
        inputs["logits"], inputs["per_expert_scale"], outputs["weights"], outputs["ids"], config
    )
    return (launch,)


def _reference(inputs: Tensors, problem: Problem) -> Tensors:
    weights, ids = reference_routing(inputs["logits"], inputs["per_expert_scale"], int(problem["top_k"]))
    return {"weights": weights, "ids": ids}


def _compare(actual: Tensors, expected: Tensors, problem: Problem) -> str | None:
    """Ids must be equal: the semantics leave no tie open. Weights may differ by fp32 rounding."""
    if wrong := int((actual["ids"] != expected["ids"]).sum()):
        return f"ids: {wrong} of {expected['ids'].numel()} differ from the reference"
    close = torch.isclose(actual["weights"], expected["weights"], rtol=1e-5, atol=1e-6, equal_nan=True)
    if not bool(close.all()):
        error = (actual["weights"] - expected["weights"])[~close].abs().max().item()
        return f"weights: {int((~close).sum())} differ from the reference, by {error:.3g} at most"
    return None


def _traffic(problem: Problem) -> Traffic:
    """Logits and scale read once, weights and ids written once; softmax counted as five operations a slot."""
    tokens, experts, top_k = (int(problem[axis]) for axis in ("tokens", "num_experts", "top_k"))
    logit_bytes = DTYPES[str(problem["dtype"])].itemsize
    return Traffic(
        bytes_read=tokens * experts * logit_bytes + experts * 4,
        bytes_written=tokens * top_k * 8,
        flops=5 * tokens * top_k,
    )


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _reject(problem: Problem, config: Config) -> str | None:
    experts, top_k = int(problem["num_experts"]), int(problem["top_k"])
    if experts > MAX_EXPERTS:
        return f"num_experts={experts} is more than {MAX_EXPERTS}"
    if top_k > experts:
        return f"top_k={top_k} is more than num_experts={experts}"
    for name, most in (("num_warps", 32), ("tokens_per_program", 1024)):
        if not _is_power_of_two(int(config[name])) or int(config[name]) > most:
            return f"{name}={config[name]} is no power of two up to {most}"
    return None


def _interpreter_problem(problem: Problem, config: Config) -> Problem:
    """Two programs, the last one as full as the last one of the real problem."""
    block, tokens = int(config["tokens_per_program"]), int(problem["tokens"])
    return {**problem, "tokens": (INTERPRETED_PROGRAMS - 1) * block + (tokens % block or block)}


ROUTING = TunableKernel(
    name="routing",
    axes=(
        Axis("num_experts", "E"),
        Axis("top_k", "K"),
        Axis("dtype", "dtype", kind="dtype"),
        Axis("tokens", "T", ladder=True),
    ),
    parameters=(
        Parameter("algorithm", "select", kind="categorical", choices=ALGORITHMS),
        Parameter("num_warps", 1),
        Parameter("tokens_per_program", 1),
        Parameter("scale_load", "row", kind="categorical", choices=("row", "ids")),
    ),
    kernels=(routing_kernel,),
    make_inputs=_make_inputs,
    routed_inputs=_routed_inputs,
    make_outputs=_make_outputs,
    launches=_launches,
    reference=_reference,
    traffic=_traffic,
    produced=frozenset({"logits", "per_expert_scale"}),
    compare=_compare,
    reject=_reject,
    interpreter_problem=_interpreter_problem,
)
