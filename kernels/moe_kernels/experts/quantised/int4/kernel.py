"""Four-bit integer weights in groups: `(code - zero) * scale`, dequantised in registers on the way to the tensor cores.

Eight codes lie in an int32 along the depth, the first in the lowest bits, and eight zero points along the rows.
"""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.quantised.kernel import (
    dequantised_product,
    load_words,
    row_offsets,
    spread,
    unpack,
)

# Added to symmetric codes where they are stored.
SYMMETRIC_ZERO = tl.constexpr(8)


@triton.jit
def _bits(packed, dtype: tl.constexpr):
    """The codes as the last bits of the mantissas of two floats, which are then the code and 1024 or 128 more."""
    ONES: tl.constexpr = 0x64006400 if dtype == tl.float16 else 0x43004300
    return packed & 0x000F000F | ONES


@triton.jit
def _weights(floats, scales, zeros):
    """`(code - zero) * scale`; the difference is exact."""
    dtype: tl.constexpr = floats.dtype
    LARGE: tl.constexpr = 1024 if dtype == tl.float16 else 128
    centred = floats - (zeros + LARGE).to(tl.float32).to(dtype)
    if scales is None:
        weights = centred
    elif scales.dtype == dtype:
        weights = centred * scales
    else:
        weights = (centred.to(tl.float32) * scales.to(tl.float32)).to(dtype)
    return weights


@triton.jit
def _zero_points(zeros, rows, expert, groups, mask):
    """[BLOCK_N, groups], stored as codes are."""
    zeros_ptr, stride_e, stride_n, stride_g = zeros
    ptrs = zeros_ptr + expert * stride_e + (rows // 8 * stride_n)[:, None] + groups[None, :] * stride_g
    return tl.load(ptrs, mask=mask) >> (rows % 8 * 4).to(tl.int32)[:, None] & 15


@triton.jit
def int4_block(
    weights,
    rows,
    expert,
    start,
    K,
    dtype: tl.constexpr,
    LAYOUT: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
):
    """[BLOCK_N, BLOCK_K] of an expert's weights from depth `start` on; without their scale where rows have one each.

    Args:
        weights: values int32 [E, N, ceil(K/8)], scales [E, N, G] and zero points int32 [E, ceil(N/8), G] or None, each
            with its strides.
        rows: [BLOCK_N].
        expert: its number; rows and it int64.
        start: a multiple of BLOCK_K.
        K: the depth.
        dtype: of the result, bf16 or fp16.
        LAYOUT: the depth that shares a scale, a multiple of 8, or 0 for all of it; what divides the strides of rows.
        BLOCK_N: rows.
        BLOCK_K: depth, a multiple of 8.
        EVEN_K: whether BLOCK_K divides K.
    """
    values, scales, zeros = weights
    GROUP: tl.constexpr = LAYOUT[0]
    packed = load_words(values, rows, expert, start, K, LAYOUT[1], BLOCK_K // 8, EVEN_K)
    # What shares a scale whatever the start: the whole block, a group, or, where groups straddle blocks, a word.
    IS_POWER: tl.constexpr = GROUP & (GROUP - 1) == 0
    SHARED: tl.constexpr = 8 if not IS_POWER else BLOCK_K if GROUP == 0 or GROUP > BLOCK_K else GROUP
    at = start + tl.arange(0, BLOCK_K // SHARED) * SHARED
    groups = at * 0 if GROUP == 0 else at // GROUP
    mask = None if EVEN_K else (at < K)[None, :]
    if zeros is None:
        zero = tl.full((1, 1), SYMMETRIC_ZERO, tl.int32)
    else:
        zero = spread(_zero_points(zeros, rows, expert, groups, mask), BLOCK_K // 8)
    if GROUP == 0:
        block = unpack(packed, None, zero, _bits, _weights, dtype)
    else:
        scales_ptr, scale_e, scale_n, scale_g = scales
        ptrs = scales_ptr + expert * scale_e + row_offsets(rows, scale_n, LAYOUT[2])[:, None]
        scale = tl.load(ptrs + groups[None, :] * scale_g, mask=mask)
        block = unpack(packed, spread(scale, BLOCK_K // 8), zero, _bits, _weights, dtype)
    return block


@triton.jit
def int4_row_factors(weights, rows, expert, dtype: tl.constexpr, LAYOUT: tl.constexpr):
    """[BLOCK_N] fp32: the scales of rows that have one each."""
    if LAYOUT[0] == 0:
        scales_ptr, stride_e, stride_n, _ = weights[1]
        factors = tl.load(scales_ptr + expert * stride_e + rows * stride_n).to(tl.float32)
    else:
        factors = tl.full(rows.shape, 1.0, tl.float32)
    return factors


@triton.jit
def int4_product(
    a_row_ptrs,
    a_mask,
    a_scales,
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
):
    """See `dequantised_product`; `a_scales` is None."""
    return dequantised_product(
        a_row_ptrs,
        a_mask,
        weights,
        rows,
        expert,
        K,
        stride_ak,
        LAYOUT,
        BLOCK_M,
        BLOCK_N,
        BLOCK_K,
        EVEN_K,
        int4_block,
        int4_row_factors,
    )
