"""NVFP4 weights: e2m1 values, an e4m3 scale for every 16 of them and one for a whole row.

A value times its scale has six bits of mantissa at most, so bf16 and fp16 hold it exactly. It is made by one product:
the bits of a value, put where a 16-bit float has its exponent, read it times a power of two, subnormal values too.
"""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.quantised.e4m3.kernel import decode_e4m3
from moe_kernels.experts.quantised.kernel import (
    dequantised_product,
    load_words,
    row_offsets,
    spread,
    unpack,
)

# Values that share a scale.
GROUP = tl.constexpr(16)
# What values of the bits that are made here lack, and, with bf16, how much of that scales of up to 448 can make up for.
FP16_LACK = tl.constexpr(2.0**14)
BF16_SCALED = tl.constexpr(2.0**118)
BF16_LACK = tl.constexpr(2.0**8)


@triton.jit
def _bits(packed, dtype: tl.constexpr):
    """The codes as sign, end of exponent and start of mantissa of two floats, 2**-14 or 2**-126 of the values."""
    SHIFT: tl.constexpr = 9 if dtype == tl.float16 else 6
    return packed << 12 & -0x7FFF8000 | packed << SHIFT & (0x00070007 << SHIFT)


@triton.jit
def _weights(floats, scales, zeros):
    return floats * scales


@triton.jit
def _load_scales(
    scales, rows, expert, start, K, ALIGNED: tl.constexpr, FEW: tl.constexpr, EVEN_K: tl.constexpr
):
    """[BLOCK_N, FEW] e4m3 as uint8."""
    scales_ptr, stride_e, stride_n, stride_g = scales
    groups = start // GROUP + tl.arange(0, FEW)
    ptrs = scales_ptr + expert * stride_e + row_offsets(rows, stride_n, ALIGNED)[:, None]
    ptrs += groups[None, :] * stride_g
    return tl.load(ptrs) if EVEN_K else tl.load(ptrs, mask=(groups * GROUP < K)[None, :], other=0)


@triton.jit
def nvfp4_block(
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
    """[BLOCK_N, BLOCK_K] of an expert's weights from depth `start` on, but for `nvfp4_row_factors`.

    Args:
        weights: values as int32 [E, N, K/8], scales as uint8 [E, N, K/16], and global scales fp32 [E, 1 or N, 1],
            each with its strides.
        rows: [BLOCK_N].
        expert: its number; rows and it int64.
        start: a multiple of BLOCK_K.
        K: the depth.
        dtype: of the result, bf16 or fp16.
        LAYOUT: 0; what divides the strides of rows.
        BLOCK_N: rows.
        BLOCK_K: depth, a multiple of 16.
        EVEN_K: whether BLOCK_K divides K.
    """
    values, scales, _ = weights
    packed = load_words(values, rows, expert, start, K, LAYOUT[1], BLOCK_K // 8, EVEN_K)
    scale = decode_e4m3(_load_scales(scales, rows, expert, start, K, LAYOUT[2], BLOCK_K // GROUP, EVEN_K))
    if dtype == tl.bfloat16:
        scale = (scale.to(tl.float32) * BF16_SCALED).to(dtype)
    return unpack(packed, spread(scale, BLOCK_K // 8), None, _bits, _weights, dtype)


@triton.jit
def nvfp4_row_factors(weights, rows, expert, dtype: tl.constexpr, LAYOUT: tl.constexpr):
    """[BLOCK_N] fp32: one over the global scales, and the powers of two that blocks lack."""
    LACKING: tl.constexpr = FP16_LACK if dtype == tl.float16 else BF16_LACK
    scales_ptr, stride_e, stride_n, _ = weights[2]
    return 1 / tl.load(scales_ptr + expert * stride_e + rows * stride_n) * LACKING


@triton.jit
def nvfp4_product(
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
        nvfp4_block,
        nvfp4_row_factors,
    )


@triton.jit
def nvfp4_scaled_product(
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
    """The same by `tl.dot_scaled`, for which activations stay in 16 bits: the compiler widens the weights, not we.

    The tensor cores that multiply e2m1 themselves take no 16-bit operand beside it, and quantised activations would be
    another format, W4A4.
    """
    values_ptr, stride_e, stride_n, _ = weights[0]
    global_ptr, global_e, global_n, _ = weights[2]
    scales = weights[1]
    A_FORMAT: tl.constexpr = "fp16" if a_row_ptrs.dtype.element_ty == tl.float16 else "bf16"
    depth, pairs = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_K // 2)
    a_ptrs = a_row_ptrs[:, None] + depth[None, :] * stride_ak
    bytes_ptr = (values_ptr + expert * stride_e).to(tl.pointer_type(tl.uint8))
    b_ptrs = bytes_ptr + (row_offsets(rows, stride_n, LAYOUT[1]) * 4)[:, None] + pairs[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        start = k * BLOCK_K
        if EVEN_K:
            a, b = tl.load(a_ptrs, mask=a_mask[:, None], other=0.0), tl.load(b_ptrs)
        else:
            a = tl.load(a_ptrs, mask=a_mask[:, None] & (depth < K - start)[None, :], other=0.0)
            b = tl.load(b_ptrs, mask=(pairs * 2 < K - start)[None, :], other=0)
        scale = _load_scales(scales, rows, expert, start, K, LAYOUT[2], BLOCK_K // GROUP, EVEN_K)
        scale = scale.to(tl.float8e4nv, bitcast=True)
        total = tl.dot_scaled(a, None, A_FORMAT, tl.trans(b), scale, "e2m1", total)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K // 2
    return total / tl.load(global_ptr + expert * global_e + rows * global_n)[None, :]
