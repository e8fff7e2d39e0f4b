"""What both engines' Gemma 4 routing kernels share as sweep targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import triton

from moe_kernels.routing.tunable import ROUTING
from moe_kernels.tunable import Config, KernelLaunch, Parameter, Problem, Tensors, TunableKernel

MAX_WARPS = 32
# `exp2` of a scaled logit in one engine, `exp` in the other: a few units in the last place of fp32 apart.
TOLERANCE = 1e-4


def routing_target(name: str, kernel: Any) -> TunableKernel:
    """An engine's routing kernel as a kernel that can be swept: its problems and reference are those of our own.

    Args:
        name: what results are filed under.
        kernel: the jit function, one program a token; it may take the stride of the logits.

    Raises:
        TypeError: it takes other arguments than are known.
    """
    _check_arguments(kernel)

    def launches(
        inputs: Tensors, outputs: Tensors, problem: Problem, config: Config
    ) -> Sequence[KernelLaunch]:
        (tokens, experts), top_k = inputs["logits"].shape, int(problem["top_k"])
        arguments = _arguments(
            inputs["logits"], inputs["per_expert_scale"], outputs["weights"], outputs["ids"]
        )
        return [
            KernelLaunch(
                kernel=kernel,
                grid=(tokens, 1, 1),
                arguments={each: value for each, value in arguments.items() if each in kernel.arg_names},
                constexprs=_constexprs(experts, top_k),
                options={"num_warps": config["num_warps"], "enable_fp_fusion": True},
            )
        ]

    return replace(
        ROUTING,
        name=name,
        # Both engines launch with one warp.
        parameters=(Parameter("num_warps", 1),),
        kernels=(kernel,),
        launches=launches,
        compare=_compare,
        reject=_reject,
        interpreter_problem=lambda problem, config: {**problem, "tokens": min(2, int(problem["tokens"]))},
    )


def _check_arguments(kernel: Any) -> None:
    known = {*_arguments(*(torch.empty(1, 1, device="meta"),) * 4), *_constexprs(1, 1)}
    if unknown := [each for each in kernel.arg_names if each not in known]:
        raise TypeError(f"the kernel has an argument {unknown[0]!r} that is not known")


def _arguments(logits: Any, scale: Any, weights: Any, ids: Any) -> dict[str, Any]:
    return {
        "gating_ptr": logits,
        "per_expert_scale_ptr": scale,
        "topk_weights_ptr": weights,
        "topk_ids_ptr": ids,
        "stride_g_t": logits.stride(0),
    }


def _constexprs(experts: int, top_k: int) -> dict[str, int]:
    return {"E": experts, "K": top_k, "BLOCK_E": triton.next_power_of_2(experts)}


def _compare(actual: Tensors, expected: Tensors, problem: Problem) -> str | None:
    """Ids must be equal, ties go to the lowest; weights within `TOLERANCE` of the reference."""
    if wrong := int((actual["ids"] != expected["ids"]).sum()):
        return f"ids: {wrong} of {expected['ids'].numel()} differ from the reference"
    if torch.allclose(actual["weights"], expected["weights"], rtol=TOLERANCE, atol=TOLERANCE):
        return None
    error = (actual["weights"] - expected["weights"]).abs().max().item()
    return f"weights: differ from the reference by {error:.3g} at most"


def _reject(problem: Problem, config: Config) -> str | None:
    experts, top_k, warps = (int(problem["num_experts"]), int(problem["top_k"]), int(config["num_warps"]))
    if experts > 1024 or top_k > experts:
        return f"the kernel takes at most 1024 experts and as many a token, got {experts} and {top_k}"
    if warps < 1 or warps & (warps - 1) or warps > MAX_WARPS:
        return f"num_warps={warps} is no power of two up to {MAX_WARPS}"
    return None
