"""A kernel of one's own, ready to be swept: `python -m workbench sweep examples/matmul.yaml`.

C = A @ B with A [tokens, hidden] and B [hidden, width]. Large tiles with many stages need more shared memory
than an RTX board gives a block; a sweep for one prunes them with the number and the limit, one for a B200 does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from moe_kernels.dtypes import DTYPES
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


@triton.jit
def matmul_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    M,
    N,
    K,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        inner = start + tl.arange(0, BLOCK_K)
        a_mask = (rows[:, None] < M) & (inner[None, :] < K)
        b_mask = (inner[:, None] < K) & (columns[None, :] < N)
        a = tl.load(a_ptr + rows[:, None] * K + inner[None, :], mask=a_mask, other=0.0)
        b = tl.load(b_ptr + inner[:, None] * N + columns[None, :], mask=b_mask, other=0.0)
        total = tl.dot(a, b, total)
    c_mask = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c_ptr + rows[:, None] * N + columns[None, :], total.to(c_ptr.dtype.element_ty), mask=c_mask)


def _sizes(problem: Problem) -> tuple[int, int, int]:
    return int(problem["tokens"]), int(problem["width"]), int(problem["hidden"])


def _make_inputs(problem: Problem, device: torch.device) -> Tensors:
    (m, n, k), dtype = _sizes(problem), DTYPES[str(problem["dtype"])]
    a, b = torch.randn(m, k, device=device), torch.randn(k, n, device=device) / k**0.5
    return {"a": a.to(dtype), "b": b.to(dtype)}


def _make_outputs(problem: Problem, device: torch.device) -> Tensors:
    m, n, _ = _sizes(problem)
    return {"c": torch.empty(m, n, dtype=DTYPES[str(problem["dtype"])], device=device)}


def _launches(inputs: Tensors, outputs: Tensors, problem: Problem, config: Config) -> Sequence[KernelLaunch]:
    (m, n, k), blocks = _sizes(problem), {name: config[name] for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K")}
    return [
        KernelLaunch(
            kernel=matmul_kernel,
            grid=(triton.cdiv(m, int(blocks["BLOCK_M"])), triton.cdiv(n, int(blocks["BLOCK_N"])), 1),
            arguments={
                "a_ptr": inputs["a"],
                "b_ptr": inputs["b"],
                "c_ptr": outputs["c"],
                "M": m,
                "N": n,
                "K": k,
            },
            constexprs=blocks,
            options={
                "num_warps": config["num_warps"],
                "num_stages": config["num_stages"],
                "enable_fp_fusion": True,
            },
        )
    ]


def _traffic(problem: Problem) -> Traffic:
    (m, n, k), itemsize = _sizes(problem), DTYPES[str(problem["dtype"])].itemsize
    return Traffic(bytes_read=(m * k + k * n) * itemsize, bytes_written=m * n * itemsize, flops=2 * m * n * k)


def _reject(problem: Problem, config: Config) -> str | None:
    """Triton's blocks are powers of two, and its matrix instructions take at least 16 along each side."""
    for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"):
        if (size := int(config[name])) < 16 or size & (size - 1):
            return f"{name}={size} is no power of two from 16 on"
    return None


def _interpreter_problem(problem: Problem, config: Config) -> Problem:
    """At most four programs of two steps, each axis with the real one's remainder."""

    def scaled(axis: str, block: str, blocks: int) -> int:
        size = int(config[block])
        return min(int(problem[axis]), (blocks - 1) * size + (int(problem[axis]) % size or size))

    return {
        **problem,
        "tokens": scaled("tokens", "BLOCK_M", 2),
        "width": scaled("width", "BLOCK_N", 2),
        "hidden": scaled("hidden", "BLOCK_K", 2),
    }


MATMUL = TunableKernel(
    name="matmul",
    axes=(
        Axis("hidden", "H"),
        Axis("width", "N"),
        Axis("dtype", "dtype", kind="dtype"),
        Axis("tokens", "T", ladder=True),
    ),
    parameters=(
        Parameter("BLOCK_M", 64),
        Parameter("BLOCK_N", 64),
        Parameter("BLOCK_K", 32),
        Parameter("num_warps", 4),
        Parameter("num_stages", 3),
    ),
    kernels=(matmul_kernel,),
    make_inputs=_make_inputs,
    make_outputs=_make_outputs,
    launches=_launches,
    reference=lambda inputs, problem: {
        "c": (inputs["a"].float() @ inputs["b"].float()).to(inputs["a"].dtype)
    },
    traffic=_traffic,
    produced=frozenset({"a"}),
    reject=_reject,
    interpreter_problem=_interpreter_problem,
)
