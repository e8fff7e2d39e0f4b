"""The grouped matrix product as it describes itself to sweeps, tests, benchmarks and the lookup."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from moe_kernels.experts import problem as experts_problem
from moe_kernels.experts.align import Aligned, align_launch, empty_aligned, most_blocks
from moe_kernels.experts.align.kernel import align_kernel
from moe_kernels.experts.call import RoutedCall
from moe_kernels.experts.grouped.kernel import activation_kernel, grouped_matmul_kernel
from moe_kernels.experts.grouped.quantised.kernel import quantised_grouped_kernel
from moe_kernels.experts.kernel import sum_kernel
from moe_kernels.experts.launches import (
    Rows,
    activation_constexprs,
    depth_block,
    empty_rows,
    operands_of,
    sum_launch,
)
from moe_kernels.experts.quantised.code import DOT_SCALED, functions_of, why_no_dot_scaled
from moe_kernels.experts.quantised.problem import rows_of
from moe_kernels.experts.quantised.rows import QuantisedRows
from moe_kernels.formats import QuantisedWeights
from moe_kernels.tunable import Config, KernelLaunch, Parameter, Problem, Tensors, TunableKernel

MAX_BLOCK_M = 256
_LIMITS = {
    "BLOCK_SIZE_M": (16, MAX_BLOCK_M),
    "BLOCK_SIZE_N": (16, 512),
    "BLOCK_SIZE_K": (16, 512),
    "num_warps": (1, 16),
}
MAX_STAGES = 8
MAX_GROUP = 1024


class GroupedWorkspace(NamedTuple):
    """What the launches hand on to each other.

    Attributes:
        aligned: slots sorted by expert.
        inner: [T*K, I], the activation's results.
        scratch: flat; first [T*K, 2I], the first product's results where the activation is a launch of its own,
            then [T*K, H], each slot's weighted result.
        rows: hidden states and the activation's results in eight bits, for formats that multiply those.
    """

    aligned: Aligned
    inner: Tensor
    scratch: Tensor
    rows: Rows = (None, None)

    @classmethod
    def empty(cls, call: RoutedCall, config: Config) -> GroupedWorkspace:
        """Enough for a call under a complete config, uninitialised."""
        slots, columns = call.num_slots, 0 if config["fuse_activation"] else call.gate_up.shape[1]
        block_size = int(config["BLOCK_SIZE_M"])
        return cls(
            empty_aligned(slots, call.num_experts, block_size, call.hidden.device),
            call.hidden.new_empty((slots, call.intermediate_size)),
            call.hidden.new_empty(slots * max(call.hidden_size, columns)),
            empty_rows(call),
        )


def grouped_launches(
    call: RoutedCall, out: Tensor, workspace: GroupedWorkspace, config: Config
) -> tuple[KernelLaunch, ...]:
    """Describes the launches of one call: sort, gate and up, (activation,) down, sum; and what quantises rows.

    Args:
        call: bf16 or fp16, with at least one slot.
        out: [T, H], contiguous, written.
        workspace: see `GroupedWorkspace`.
        config: every parameter of the tunable `experts`.
    """
    weights, ids = call.contiguous_routing()
    block_size, columns = int(config["BLOCK_SIZE_M"]), call.gate_up.shape[1]
    before = workspace.scratch[: call.num_slots * columns].view(call.num_slots, -1)
    partials = workspace.scratch[: call.num_slots * call.hidden_size].view(call.num_slots, -1)
    sort = align_launch(ids, call.num_experts, block_size, workspace.aligned)
    fused = bool(config["fuse_activation"])
    up = _matmul_launch(
        call,
        (call.hidden, call.gate_up, workspace.inner if fused else before),
        workspace.aligned,
        config,
        rows=workspace.rows[0],
        epilogue="activate" if fused else "store",
    )
    down = _matmul_launch(
        call,
        (workspace.inner, call.down, partials),
        workspace.aligned,
        config,
        rows=workspace.rows[1],
        epilogue="weigh",
        weights=weights,
    )
    activate = () if fused else (_activation_launch(call, before, workspace.inner),)
    return (sort, *up, *activate, *down, sum_launch(call, partials, ids, out))


def _matmul_launch(
    call: RoutedCall,
    matrices: tuple[Tensor, Tensor | QuantisedWeights, Tensor],
    aligned: Aligned,
    config: Config,
    *,
    rows: QuantisedRows | None,
    epilogue: str,
    weights: Tensor | None = None,
) -> tuple[KernelLaunch, ...]:
    block_m, block_n = int(config["BLOCK_SIZE_M"]), int(config["BLOCK_SIZE_N"])
    size, depth = matrices[1].shape[1:]
    block_k = depth_block(config, matrices[1])
    blocks = most_blocks(call.num_slots, call.num_experts, block_m)
    operands = operands_of(*matrices, rows, config)
    product = KernelLaunch(
        kernel=grouped_matmul_kernel if isinstance(matrices[1], Tensor) else quantised_grouped_kernel,
        grid=(blocks * triton.cdiv(size, block_n), 1, 1),
        arguments={
            **operands.arguments,
            "weights_ptr": weights,
            "sorted_slots_ptr": aligned.sorted_slots,
            "block_experts_ptr": aligned.block_experts,
            "num_blocks_ptr": aligned.num_blocks,
            "num_slots": call.num_slots,
        },
        constexprs={
            **activation_constexprs(call),
            "SLOTS_PER_ROW": 1 if epilogue == "weigh" else call.top_k,
            "EPILOGUE": epilogue,
            **operands.constexprs,
            "BLOCK_M": block_m,
            "BLOCK_N": block_n,
            "BLOCK_K": block_k,
            "GROUP_M": config["GROUP_SIZE_M"],
            "EVEN_K": depth % block_k == 0,
        },
        options={
            "num_warps": config["num_warps"],
            "num_stages": config["num_stages"],
            "enable_fp_fusion": True,
        },
    )
    return (*operands.before, product)


def _activation_launch(call: RoutedCall, before: Tensor, inner: Tensor) -> KernelLaunch:
    block = min(1024, triton.next_power_of_2(call.intermediate_size))
    return KernelLaunch(
        kernel=activation_kernel,
        grid=(call.num_slots, triton.cdiv(call.intermediate_size, block), 1),
        arguments={"gate_up_ptr": before, "inner_ptr": inner, "SIZE": call.intermediate_size},
        constexprs={**activation_constexprs(call), "BLOCK": block},
        options={"num_warps": 4, "enable_fp_fusion": True},
    )


def grouped_outputs(problem: Problem, device: torch.device) -> Tensors:
    """The output and a workspace that fits every config."""
    tokens, experts, top_k, hidden_size, inner = experts_problem.sizes(problem)
    slots, dtype = tokens * top_k, experts_problem.activation_dtype(problem)
    blocks = most_blocks(slots, experts, MAX_BLOCK_M)

    def empty(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    return {
        "out": empty(tokens, hidden_size),
        "inner": empty(slots, inner),
        "scratch": empty(slots * max(hidden_size, 2 * inner)),
        "sorted_slots": empty(blocks * MAX_BLOCK_M, dtype=torch.int32),
        "block_experts": empty(slots, dtype=torch.int32),
        "num_blocks": empty(1, dtype=torch.int32),
        **experts_problem.rows_outputs(problem, device),
    }


def _launches(
    inputs: Tensors, outputs: Tensors, problem: Problem, config: Config
) -> tuple[KernelLaunch, ...]:
    aligned = Aligned(*(outputs[name] for name in Aligned._fields))
    workspace = GroupedWorkspace(aligned, outputs["inner"], outputs["scratch"], rows_of(outputs))
    return grouped_launches(experts_problem.call_of(inputs, problem), outputs["out"], workspace, config)


def _reject(problem: Problem, config: Config) -> str | None:
    if reason := experts_problem.why_no_problem(problem):
        return reason
    if reason := experts_problem.why_no_block(problem, config, _LIMITS):
        return reason
    for name, most in (("num_stages", MAX_STAGES), ("GROUP_SIZE_M", MAX_GROUP)):
        if not 1 <= int(config[name]) <= most:
            return f"{name}={config[name]} is not 1 to {most}"
    return None


def _interpreter_problem(problem: Problem, config: Config) -> Problem:
    columns, depth = int(config["BLOCK_SIZE_N"]), int(config["BLOCK_SIZE_K"])
    return experts_problem.interpreter_problem(problem, depth=depth, up_columns=columns, down_columns=columns)


_SHARED = (align_kernel, activation_kernel, sum_kernel)
_DENSE = (*_SHARED, grouped_matmul_kernel)
EXPERTS = TunableKernel(
    name="experts",
    axes=experts_problem.AXES,
    parameters=(
        # One config for all token counts, between the engines' heuristics for few and for many, that launches on every
        # GPU of the catalogue (64 KiB of shared memory at most); few tokens take `experts_decode` by default.
        Parameter("BLOCK_SIZE_M", 64),
        Parameter("BLOCK_SIZE_N", 64),
        Parameter("BLOCK_SIZE_K", 64),
        Parameter("GROUP_SIZE_M", 8),
        Parameter("num_warps", 4),
        Parameter("num_stages", 4),
        Parameter("fuse_activation", 0, kind="binary", choices=(0, 1)),
        DOT_SCALED,
    ),
    kernels=_DENSE,
    kernels_of=partial(functions_of, dense=_DENSE, shared=_SHARED, by_format=(quantised_grouped_kernel,)),
    make_inputs=experts_problem.make_inputs,
    routed_inputs=experts_problem.routed_inputs,
    make_outputs=grouped_outputs,
    launches=_launches,
    reference=experts_problem.reference,
    traffic=experts_problem.traffic,
    produced=experts_problem.PRODUCED,
    compare=experts_problem.compare,
    exchanged={"fuse_activation": 0},
    reject=_reject,
    reject_on=why_no_dot_scaled,
    interpreter_problem=_interpreter_problem,
)
