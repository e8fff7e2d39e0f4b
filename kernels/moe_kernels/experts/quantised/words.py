"""Weights of four bits: words of eight, loaded once and unpacked in the thread that has loaded them."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_words(values, rows, expert, start, K, ALIGNED: tl.constexpr, WORDS: tl.constexpr, EVEN_K: tl.constexpr):
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
def unpack(packed, scales, zeros, BITS: tl.constexpr, WEIGHTS: tl.constexpr, DTYPE: tl.constexpr):
    """[BLOCK_N, words] to [BLOCK_N, 8 * words].

    Joined tensors stay in their thread; weights indexed by a range would be spread over eight threads.

    Args:
        packed: int32.
        scales: [BLOCK_N, words] or None.
        zeros: likewise.
        BITS: `(packed, DTYPE)` to int32 of two floats' bits, of the code in the last four bits and of that in bits
            16 to 19; others may be anything.
        WEIGHTS: `(floats, scales, zeros)` to weights.
        DTYPE: of the weights.
    """
    early = _pair(packed, 0, scales, zeros, BITS, WEIGHTS, DTYPE)
    later = _pair(packed, 2, scales, zeros, BITS, WEIGHTS, DTYPE)
    even = tl.join(early, later)
    early = _pair(packed, 1, scales, zeros, BITS, WEIGHTS, DTYPE)
    later = _pair(packed, 3, scales, zeros, BITS, WEIGHTS, DTYPE)
    joined = tl.join(even, tl.join(early, later))
    return tl.reshape(joined, (packed.shape[0], 8 * packed.shape[1]))


@triton.jit
def _pair(packed, place: tl.constexpr, scales, zeros, BITS: tl.constexpr, WEIGHTS: tl.constexpr, DTYPE: tl.constexpr):
    """[BLOCK_N, words, 2]: the weights at `place` and four further, whose bits are made together."""
    bits = BITS(packed >> 4 * place, DTYPE)
    low = bits.to(tl.int16).to(DTYPE, bitcast=True)
    high = (bits >> 16).to(tl.int16).to(DTYPE, bitcast=True)
    return tl.join(WEIGHTS(low, scales, zeros), WEIGHTS(high, scales, zeros))


@triton.jit
def spread(narrow, COLUMNS: tl.constexpr):
    """[rows, few] to [rows, COLUMNS], each value repeated."""
    ROWS: tl.constexpr = narrow.shape[0]
    FEW: tl.constexpr = narrow.shape[1]
    if FEW == COLUMNS:
        return narrow
    else:
        wide = tl.broadcast_to(narrow[:, :, None], (ROWS, FEW, COLUMNS // FEW))
        return tl.reshape(wide, (ROWS, COLUMNS))
