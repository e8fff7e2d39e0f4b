"""The problems of the engines' fused MoE kernels, as far as they differ from those of our own experts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.dtypes import DTYPES
from moe_kernels.experts.call import ExpertsCall
from moe_kernels.experts.reference import reference_experts
from moe_kernels.tunable import Axis, Config, Problem, Tensors
from workbench.integrations.engines import CONFIG_KEYS

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


def make_outputs(problem: Problem, device: torch.device) -> dict[str, Tensor]:
    """The output, uninitialised."""
    shape = int(problem["tokens"]), int(problem["hidden_size"])
    return {"out": torch.empty(shape, dtype=DTYPES[str(problem["dtype"])], device=device)}


def reference_out(inputs: Tensors, activation: Activation) -> Tensor:
    """The experts in fp32, in the dtype of hidden; nothing in between is rounded."""
    wide = {name: tensor.float() for name, tensor in inputs.items() if name != "ids"}
    call = ExpertsCall(**wide, ids=inputs["ids"], activation=activation)
    return reference_experts(call).to(inputs["hidden"].dtype)


def compare(actual: Tensors, expected: Tensors, problem: Problem) -> str | None:
    """Every element within the share of the largest that `TOLERANCE` allows the dtype."""
    out, reference = actual["out"].float(), expected["out"].float()
    allowed = TOLERANCE[str(problem["dtype"])] * float(reference.abs().max())
    error = (out - reference).abs()
    if bool((error <= allowed).all()):
        return None
    wrong = int((~(error <= allowed)).sum())
    return f"out: {wrong} of {out.numel()} differ by more than {allowed:.3g}, by {float(error.max()):.3g} at most"


def why_rejected(problem: Problem, config: Config) -> str | None:
    """Triton's blocks are powers of two, and its matrix instructions take at least 16 a side; 0 is left open."""
    if problem["dtype"] not in TOLERANCE:
        return f"dtype={problem['dtype']} is not swept on an engine's kernel, only {', '.join(TOLERANCE)} are"
    if int(problem["top_k"]) > int(problem["num_experts"]):
        return f"top_k={problem['top_k']} is more than num_experts={problem['num_experts']}"
    for name, least, most in (*((key, 16, 1024) for key in CONFIG_KEYS[:3]), ("num_warps", 1, 32)):
        value = int(config[name])
        if value and not (least <= value <= most and value & (value - 1) == 0):
            return f"{name}={value} is no power of two from {least} to {most}"
    wrong = [name for name in ("GROUP_SIZE_M", "num_stages") if int(config[name]) < 0]
    return f"{wrong[0]} must not be negative" if wrong else None


def small_problem(problem: Problem, chosen: Mapping[str, int], *, skips_alignment: bool) -> Problem:
    """Two experts, each with one block of rows, and both GEMMs with the real remainders by their blocks.

    Args:
        problem: the real one.
        chosen: the config, every value chosen.
        skips_alignment: whether the engine launches the real one without sorting tokens by expert. Then as few tokens
            for as many experts as it takes to stay on that path.
    """
    widest = max(chosen["BLOCK_SIZE_N"], chosen["BLOCK_SIZE_K"])
    sizes = {axis: int(problem[axis]) for axis in ("hidden_size", "intermediate_size")}
    most = (
        {"top_k": 1, "num_experts": 4, "tokens": 1}
        if skips_alignment
        else {"top_k": 2, "num_experts": 2, "tokens": chosen["BLOCK_SIZE_M"]}
    )
    return {
        **problem,
        **{axis: min(size, size % widest or widest) for axis, size in sizes.items()},
        **{axis: min(int(problem[axis]), count) for axis, count in most.items()},
    }
