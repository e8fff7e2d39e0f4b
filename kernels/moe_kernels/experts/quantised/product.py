"""The matrix product with weights that are dequantised in registers: the loop over the depth, for all such formats."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def dequantised_product(
    a_row_ptrs,
    a_mask,
    weights,
    rows,
    expert,
    K,
    stride_ak,
    LAYOUT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
    LOAD_BLOCK: tl.constexpr,
    ROW_FACTORS: tl.constexpr,
):
    """`a[rows, :] @ weights[expert, rows, :].T` in fp32, [BLOCK_M, BLOCK_N], a in 16 bits.

    Factors of a whole row of weights multiply the sum, in fp32.
    """
    DTYPE: tl.constexpr = a_row_ptrs.dtype.element_ty
    depth = tl.arange(0, BLOCK_K)
    a_ptrs = a_row_ptrs[:, None] + depth[None, :] * stride_ak
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        start = k * BLOCK_K
        if EVEN_K:
            a = tl.load(a_ptrs, mask=a_mask[:, None], other=0.0)
        else:
            a = tl.load(a_ptrs, mask=a_mask[:, None] & (depth < K - start)[None, :], other=0.0)
        b = LOAD_BLOCK(weights, rows, expert, start, K, DTYPE, LAYOUT, BLOCK_N, BLOCK_K, EVEN_K)
        total = tl.dot(a, tl.trans(b), total)
        a_ptrs += BLOCK_K * stride_ak
    return total * ROW_FACTORS(weights, rows, expert, DTYPE, LAYOUT)[None, :]
