"""A plain grouped GEMM of the shape that both engines' kernels have, for stand-ins of their packages."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block(
    a_ptr, b_ptr, c_ptr, weights_ptr, sorted_ptr, experts_ptr, padded_ptr, N, K, EM, valid,
    stride_am, stride_be, stride_bn, stride_cm,
    ROUTED: tl.constexpr, TOP_K: tl.constexpr, NAIVE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    columns_of_blocks = tl.cdiv(N, BLOCK_N)
    row_block, column_block = tl.program_id(0) // columns_of_blocks, tl.program_id(0) % columns_of_blocks
    if row_block * BLOCK_M >= tl.load(padded_ptr):
        return
    rows = tl.arange(0, BLOCK_M)
    if NAIVE:  # noqa: SIM108 - a conditional expression would compile both sides
        rows = tl.where(rows == 0, row_block, valid)
    else:
        rows = tl.load(sorted_ptr + row_block * BLOCK_M + rows)
    there, columns = rows < valid, column_block * BLOCK_N + tl.arange(0, BLOCK_N)
    expert = tl.load(experts_ptr + row_block)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        inner = start + tl.arange(0, BLOCK_K)
        a_offsets = (rows // TOP_K)[:, None] * stride_am + inner[None, :]
        b_offsets = expert * stride_be + columns[None, :] * stride_bn + inner[:, None]
        a = tl.load(a_ptr + a_offsets, mask=there[:, None] & (inner[None, :] < K), other=0.0)
        b = tl.load(b_ptr + b_offsets, mask=(columns[None, :] < N) & (inner[:, None] < K), other=0.0)
        total = tl.dot(a, b, total)
    if ROUTED:
        total *= tl.load(weights_ptr + rows, mask=there, other=0.0)[:, None]
    mask = there[:, None] & (columns[None, :] < N)
    tl.store(
        c_ptr + rows[:, None] * stride_cm + columns[None, :], total.to(c_ptr.dtype.element_ty), mask=mask
    )
