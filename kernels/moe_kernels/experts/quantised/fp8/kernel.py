"""Eight-bit float weights, and activations quantised to the same: products of bytes, scaled in fp32."""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.quantised.e4m3.kernel import decode_e4m3, dot_e4m3
from moe_kernels.experts.quantised.kernel import row_offsets

# The depth of a block of weights, and the values of a token, that share a scale where scales are of blocks.
BLOCK_DEPTH = tl.constexpr(128)


@triton.jit
def _load_codes(
    values, rows, expert, start, K, ALIGNED: tl.constexpr, BLOCK_K: tl.constexpr, EVEN_K: tl.constexpr
):
    values_ptr, stride_e, stride_n, stride_k = values
    depth = start + tl.arange(0, BLOCK_K)
    ptrs = values_ptr + expert * stride_e + row_offsets(rows, stride_n, ALIGNED)[:, None]
    ptrs += depth[None, :] * stride_k
    return tl.load(ptrs) if EVEN_K else tl.load(ptrs, mask=(depth < K)[None, :], other=0)


@triton.jit
def _block_scales(scales, rows, expert, start, BLOCK_ROWS: tl.constexpr):
    """[BLOCK_N] fp32: each row's scale at a depth."""
    scales_ptr, stride_e, stride_n, stride_k = scales
    ptrs = scales_ptr + expert * stride_e + rows // BLOCK_ROWS * stride_n + start // BLOCK_DEPTH * stride_k
    return tl.load(ptrs).to(tl.float32)


@triton.jit
def fp8_block(
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
    """[BLOCK_N, BLOCK_K] fp32 of an expert's weights from depth `start` on; without scales that whole rows share.

    Args:
        weights: values as uint8 [E, N, K], scales [E, 1 or N or blocks, 1 or blocks], each with its strides.
        rows: [BLOCK_N].
        expert: its number; rows and it int64.
        start: a multiple of BLOCK_K.
        K: the depth.
        dtype: not used.
        LAYOUT: rows of a block of scales, 0 where there are no blocks; what divides the stride of rows.
        BLOCK_N: rows.
        BLOCK_K: depth, a divisor of 128 where scales are of blocks.
        EVEN_K: whether BLOCK_K divides K.
    """
    values, scales, _ = weights
    codes = _load_codes(values, rows, expert, start, K, LAYOUT[1], BLOCK_K, EVEN_K)
    block = decode_e4m3(codes).to(tl.float32)
    if LAYOUT[0] != 0:
        block *= _block_scales(scales, rows, expert, start, LAYOUT[0])[:, None]
    return block


@triton.jit
def fp8_row_factors(weights, rows, expert, dtype: tl.constexpr, LAYOUT: tl.constexpr):
    """[BLOCK_N] fp32: the scales of rows that have one each, or all the same."""
    if LAYOUT[0] == 0:
        scales_ptr, stride_e, stride_n, _ = weights[1]
        factors = tl.load(scales_ptr + expert * stride_e + rows * stride_n).to(tl.float32)
    else:
        factors = tl.full(rows.shape, 1.0, tl.float32)
    return factors


@triton.jit
def fp8_product(
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
    """`a[rows, :] @ weights[expert, rows, :].T` in fp32, [BLOCK_M, BLOCK_N], a quantised as `quantise_rows` leaves it.

    Args:
        a_row_ptrs: [BLOCK_M] to uint8.
        a_mask: [BLOCK_M]; rows where it is False are zero.
        a_scales: pointers [BLOCK_M] to a row's first scale, and the stride to its next.
        weights: as for `fp8_block`, as are the others.
        rows: [BLOCK_N].
        expert: its number.
        K: the depth.
        stride_ak: of a.
        LAYOUT: see `fp8_block`.
        BLOCK_M: rows of a.
        BLOCK_N: rows of weights.
        BLOCK_K: depth.
        EVEN_K: whether BLOCK_K divides K.
    """
    values, scales, _ = weights
    scale_ptrs, stride_scale = a_scales
    depth = tl.arange(0, BLOCK_K)
    a_ptrs = a_row_ptrs[:, None] + depth[None, :] * stride_ak
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        start = k * BLOCK_K
        if EVEN_K:
            a = tl.load(a_ptrs, mask=a_mask[:, None], other=0)
        else:
            a = tl.load(a_ptrs, mask=a_mask[:, None] & (depth < K - start)[None, :], other=0)
        b = tl.trans(_load_codes(values, rows, expert, start, K, LAYOUT[1], BLOCK_K, EVEN_K))
        if LAYOUT[0] == 0:
            total = dot_e4m3(a, b, total)
        else:
            a_scale = tl.load(scale_ptrs + start // BLOCK_DEPTH * stride_scale, mask=a_mask, other=0.0)
            b_scale = _block_scales(scales, rows, expert, start, LAYOUT[0])
            part = dot_e4m3(a, b, tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32))
            total += part * a_scale[:, None] * b_scale[None, :]
        a_ptrs += BLOCK_K * stride_ak
    if LAYOUT[0] == 0:
        total *= tl.load(scale_ptrs, mask=a_mask, other=0.0)[:, None]
    return total * fp8_row_factors(weights, rows, expert, tl.float32, LAYOUT)[None, :]
