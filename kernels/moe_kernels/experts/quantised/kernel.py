"""What formats share: weights of four bits unpacked where they were loaded, and the product with dequantised ones."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_words(
    values, rows, expert, start, K, ALIGNED: tl.constexpr, WORDS: tl.constexpr, EVEN_K: tl.constexpr
):
    """[BLOCK_N, WORDS] int32 from depth `start` on; what lies beyond K is 0."""
    values_ptr, stride_e, stride_n, stride_k = values
    words = start // 8 + tl.arange(0, WORDS)
    ptrs = values_ptr + expert * stride_e + row_offsets(rows, stride_n, ALIGNED)[:, None]
    ptrs += words[None, :] * stride_k
    return tl.load(ptrs) if EVEN_K else tl.load(ptrs, mask=(words * 8 < K)[None, :], other=0)


@triton.jit
def row_offsets(rows, stride, ALIGNED: tl.constexpr):
    """`rows * stride` for a stride that ALIGNED divides: the compiler sees it, and loads as wide as that allows."""
    return rows * (stride // ALIGNED) * ALIGNED


@triton.jit
def unpack(packed, scales, zeros, BITS: tl.constexpr, WEIGHTS: tl.constexpr, dtype: tl.constexpr):
    """[BLOCK_N, words] to [BLOCK_N, 8 * words].

    Joined tensors stay in their thread; weights indexed by a range would be spread over eight threads.

    Args:
        packed: int32.
        scales: [BLOCK_N, words] or None.
        zeros: likewise.
        BITS: `(packed, dtype)` to int32 of two floats' bits, of the code in the last four bits and of that in bits
            16 to 19; others may be anything.
        WEIGHTS: `(floats, scales, zeros)` to weights.
        dtype: of the weights.
    """
    early = _pair(packed, 0, scales, zeros, BITS, WEIGHTS, dtype)
    later = _pair(packed, 2, scales, zeros, BITS, WEIGHTS, dtype)
    even = tl.join(early, later)
    early = _pair(packed, 1, scales, zeros, BITS, WEIGHTS, dtype)
    later = _pair(packed, 3, scales, zeros, BITS, WEIGHTS, dtype)
    joined = tl.join(even, tl.join(early, later))
    return tl.reshape(joined, (packed.shape[0], 8 * packed.shape[1]))


@triton.jit
def _pair(
    packed, place: tl.constexpr, scales, zeros, BITS: tl.constexpr, WEIGHTS: tl.constexpr, dtype: tl.constexpr
):
    """[BLOCK_N, words, 2]: the weights at `place` and four further, whose bits are made together."""
    bits = BITS(packed >> 4 * place, dtype)
    low = bits.to(tl.int16).to(dtype, bitcast=True)
    high = (bits >> 16).to(tl.int16).to(dtype, bitcast=True)
    return tl.join(WEIGHTS(low, scales, zeros), WEIGHTS(high, scales, zeros))


@triton.jit
def spread(narrow, COLUMNS: tl.constexpr):
    """[rows, few] to [rows, COLUMNS], each value repeated."""
    ROWS: tl.constexpr = narrow.shape[0]
    FEW: tl.constexpr = narrow.shape[1]
    wide = tl.broadcast_to(narrow[:, :, None], (ROWS, FEW, COLUMNS // FEW))
    return tl.reshape(wide, (ROWS, COLUMNS))


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
    dtype: tl.constexpr = a_row_ptrs.dtype.element_ty
    depth = tl.arange(0, BLOCK_K)
    a_ptrs = a_row_ptrs[:, None] + depth[None, :] * stride_ak
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        start = k * BLOCK_K
        if EVEN_K:
            a = tl.load(a_ptrs, mask=a_mask[:, None], other=0.0)
        else:
            a = tl.load(a_ptrs, mask=a_mask[:, None] & (depth < K - start)[None, :], other=0.0)
        b = LOAD_BLOCK(weights, rows, expert, start, K, dtype, LAYOUT, BLOCK_N, BLOCK_K, EVEN_K)
        total = tl.dot(a, tl.trans(b), total)
        a_ptrs += BLOCK_K * stride_ak
    return total * ROW_FACTORS(weights, rows, expert, dtype, LAYOUT)[None, :]
