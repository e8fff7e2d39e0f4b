"""The kernels for few tokens as they describe themselves to sweeps, tests, benchmarks and the lookup."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from moe_kernels.experts import problem as experts_problem
from moe_kernels.experts.call import RoutedCall
from moe_kernels.experts.decode.kernel import expert_matmul_kernel, token_down_kernel
from moe_kernels.experts.decode.quantised.kernel import quantised_expert_kernel, quantised_token_kernel
from moe_kernels.experts.kernel import sum_kernel
from moe_kernels.experts.launches import (
    Rows,
    activation_constexprs,
    depth_block,
    empty_rows,
    operands_of,
    sum_launch,
)
from moe_kernels.experts.quantised.arguments import FORMAT_CODE, layout_of
from moe_kernels.experts.quantised.code import DOT_SCALED, functions_of, why_no_dot_scaled
from moe_kernels.experts.quantised.problem import rows_of
from moe_kernels.experts.quantised.rows import QuantisedRows
from moe_kernels.formats import QuantisedWeights
from moe_kernels.tunable import Config, KernelLaunch, Parameter, Problem, Tensors, TunableKernel

# Ids that a program looks at together: few enough for its registers, beside the slots that it picks among them.
CHUNK = 128
# Slots of one expert that are multiplied at a time: what a tensor core instruction takes.
BLOCK_M = 16
_LIMITS = {
    "BLOCK_SIZE_N": (16, 256),
    "BLOCK_SIZE_K": (16, 512),
    "DOWN_BLOCK_SIZE_N": (4, 256),
    "num_warps": (1, 16),
}
MAX_STAGES = 8
# Narrower blocks of columns would leave a matrix instruction partly empty.
LEAST_COLUMNS_BY_EXPERT = 16


class DecodeWorkspace(NamedTuple):
    """What the launches hand on to each other.

    Attributes:
        inner: [T*K, I], the activation's results.
        partials: [T*K, H], each slot's weighted result; unused where the down projection goes by token.
        rows: hidden states and the activation's results in eight bits, for formats that multiply those.
    """

    inner: Tensor
    partials: Tensor
    rows: Rows = (None, None)

    @classmethod
    def empty(cls, call: RoutedCall, config: Config) -> DecodeWorkspace:
        """Enough for a call under a complete config, uninitialised."""
        rows = call.num_slots if config["down_by"] == "expert" else 0
        return cls(
            call.hidden.new_empty((call.num_slots, call.intermediate_size)),
            call.hidden.new_empty((rows, call.hidden_size)),
            empty_rows(call),
        )


def decode_launches(
    call: RoutedCall, out: Tensor, workspace: DecodeWorkspace, config: Config
) -> tuple[KernelLaunch, ...]:
    """Describes the launches of one call: gate and up with the activation, then down; and what quantises rows.

    By expert, the down projection reads each expert's weights once and a third launch sums; by token, two launches do.

    Args:
        call: bf16 or fp16, with at least one slot.
        out: [T, H], contiguous, written.
        workspace: see `DecodeWorkspace`.
        config: every parameter of the tunable `experts_decode`.
    """
    weights, ids = call.contiguous_routing()
    up = _expert_launch(
        call,
        (call.hidden, call.gate_up, workspace.inner),
        (weights, ids),
        config,
        rows=workspace.rows[0],
        columns=int(config["BLOCK_SIZE_N"]),
        epilogue="activate",
    )
    if config["down_by"] == "token":
        return (*up, *_token_launch(call, workspace, (weights, ids), out, config))
    down = _expert_launch(
        call,
        (workspace.inner, call.down, workspace.partials),
        (weights, ids),
        config,
        rows=workspace.rows[1],
        columns=int(config["DOWN_BLOCK_SIZE_N"]),
        epilogue="weigh",
    )
    return (*up, *down, sum_launch(call, workspace.partials, ids, out))


def _expert_launch(
    call: RoutedCall,
    matrices: tuple[Tensor, Tensor | QuantisedWeights, Tensor],
    routing: tuple[Tensor, Tensor],
    config: Config,
    *,
    rows: QuantisedRows | None,
    columns: int,
    epilogue: str,
) -> tuple[KernelLaunch, ...]:
    size, depth = matrices[1].shape[1:]
    block_k = depth_block(config, matrices[1])
    operands = operands_of(*matrices, rows, config)
    product = KernelLaunch(
        kernel=expert_matmul_kernel if isinstance(matrices[1], Tensor) else quantised_expert_kernel,
        grid=(min(call.num_slots, call.num_experts) * triton.cdiv(size, columns), 1, 1),
        arguments={
            **operands.arguments,
            "weights_ptr": routing[0],
            "ids_ptr": routing[1],
            "num_slots": call.num_slots,
        },
        constexprs={
            **activation_constexprs(call),
            "E": call.num_experts,
            "SLOTS_PER_ROW": 1 if epilogue == "weigh" else call.top_k,
            "EPILOGUE": epilogue,
            **operands.constexprs,
            "BY_SLOT": call.num_slots <= call.num_experts,
            "CHUNK": min(CHUNK, max(16, triton.next_power_of_2(call.num_slots))),
            "BLOCK_M": BLOCK_M,
            "BLOCK_N": columns,
            "BLOCK_K": block_k,
            "EVEN_K": depth % block_k == 0,
        },
        options={
            "num_warps": config["num_warps"],
            "num_stages": config["num_stages"],
            "enable_fp_fusion": True,
        },
        data_trips=_rounds(call),
    )
    return (*operands.before, product)


def _rounds(call: RoutedCall) -> float:
    """How often a program multiplies BLOCK_M slots, to be expected: an expert in use has the mean of slots."""
    in_use = experts_problem.expected_experts(call.num_tokens, call.num_experts, call.top_k)
    rounds = ceil(call.num_slots / in_use / BLOCK_M)
    return in_use * rounds / min(call.num_slots, call.num_experts)


def _token_launch(
    call: RoutedCall, workspace: DecodeWorkspace, routing: tuple[Tensor, Tensor], out: Tensor, config: Config
) -> tuple[KernelLaunch, ...]:
    operands = operands_of(workspace.inner, call.down, out, workspace.rows[1], config)
    columns = int(config["DOWN_BLOCK_SIZE_N"])
    is_dense = isinstance(call.down, Tensor)
    own = _dense_down(call.down) if isinstance(call.down, Tensor) else _quantised_down(call.down, config)
    names = _DENSE_ARGUMENTS if is_dense else _QUANTISED_ARGUMENTS
    product = KernelLaunch(
        kernel=token_down_kernel if is_dense else quantised_token_kernel,
        grid=(call.num_tokens * triton.cdiv(call.hidden_size, columns), 1, 1),
        arguments={
            "inner_ptr": operands.arguments["a_ptr"],
            **({"down_ptr": call.down} if is_dense else {}),
            **{name: operands.arguments[name] for name in names},
            "weights_ptr": routing[0],
            "ids_ptr": routing[1],
        },
        constexprs={
            "E": call.num_experts,
            "TOP_K": call.top_k,
            **own,
            "BLOCK_N": columns,
            "BLOCK_K": depth_block(config, call.down),
            "NUM_STAGES": config["num_stages"],
        },
        options={"num_warps": config["num_warps"], "enable_fp_fusion": True},
    )
    return (*operands.before, product)


_DENSE_ARGUMENTS = ("scale_ptr", "out_ptr", "N", "K", "stride_be", "stride_bn", "stride_bk")
_QUANTISED_ARGUMENTS = ("a_scales", "weights", "out_ptr", "N", "K")


def _dense_down(down: Tensor) -> dict[str, Any]:
    return {"FORMAT": "plain"}


def _quantised_down(down: QuantisedWeights, config: Config) -> dict[str, Any]:
    code = FORMAT_CODE[down.dtype_word]
    return {
        "LOAD_BLOCK": code.load_block,
        "ROW_FACTORS": code.row_factors,
        "LAYOUT": layout_of(down),
        "SCALE_DEPTH": down.format.activation_group or 1,
        "EVEN_K": down.shape[2] % depth_block(config, down) == 0,
    }


def _make_outputs(problem: Problem, device: torch.device) -> Tensors:
    tokens, _, top_k, hidden_size, inner = experts_problem.sizes(problem)
    dtype = experts_problem.activation_dtype(problem)
    shapes = {"out": (tokens, hidden_size), "inner": (tokens * top_k, inner)}
    shapes["partials"] = (tokens * top_k, hidden_size)
    outputs = {name: torch.empty(shape, dtype=dtype, device=device) for name, shape in shapes.items()}
    return {**outputs, **experts_problem.rows_outputs(problem, device)}


def _launches(
    inputs: Tensors, outputs: Tensors, problem: Problem, config: Config
) -> tuple[KernelLaunch, ...]:
    workspace = DecodeWorkspace(outputs["inner"], outputs["partials"], rows_of(outputs))
    return decode_launches(experts_problem.call_of(inputs, problem), outputs["out"], workspace, config)


def _reject(problem: Problem, config: Config) -> str | None:
    if reason := experts_problem.why_no_problem(problem):
        return reason
    if reason := experts_problem.why_no_block(problem, config, _LIMITS):
        return reason
    if config["down_by"] == "expert" and int(config["DOWN_BLOCK_SIZE_N"]) < LEAST_COLUMNS_BY_EXPERT:
        return f"DOWN_BLOCK_SIZE_N={config['DOWN_BLOCK_SIZE_N']} is less than 16 with down_by=expert"
    if not 1 <= int(config["num_stages"]) <= MAX_STAGES:
        return f"num_stages={config['num_stages']} is not 1 to {MAX_STAGES}"
    return None


def _interpreter_problem(problem: Problem, config: Config) -> Problem:
    return experts_problem.interpreter_problem(
        problem,
        depth=int(config["BLOCK_SIZE_K"]),
        up_columns=int(config["BLOCK_SIZE_N"]),
        down_columns=int(config["DOWN_BLOCK_SIZE_N"]),
    )


_DENSE = (expert_matmul_kernel, token_down_kernel, sum_kernel)
_QUANTISED = (quantised_expert_kernel, quantised_token_kernel)
EXPERTS_DECODE = TunableKernel(
    name="experts_decode",
    axes=experts_problem.AXES,
    parameters=(
        Parameter("BLOCK_SIZE_N", 32),
        Parameter("DOWN_BLOCK_SIZE_N", 32),
        Parameter("BLOCK_SIZE_K", 128),
        # The split of the down projection: a program owns columns of one expert, or of one token and all its experts.
        Parameter("down_by", "expert", kind="categorical", choices=("expert", "token")),
        Parameter("num_warps", 4),
        Parameter("num_stages", 4),
        DOT_SCALED,
    ),
    kernels=_DENSE,
    kernels_of=partial(functions_of, dense=_DENSE, shared=(sum_kernel,), by_format=_QUANTISED),
    make_inputs=experts_problem.make_inputs,
    routed_inputs=experts_problem.routed_inputs,
    make_outputs=_make_outputs,
    launches=_launches,
    reference=experts_problem.reference,
    traffic=experts_problem.traffic,
    produced=experts_problem.PRODUCED,
    compare=experts_problem.compare,
    reject=_reject,
    reject_on=why_no_dot_scaled,
    interpreter_problem=_interpreter_problem,
)
