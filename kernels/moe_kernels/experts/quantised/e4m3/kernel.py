"""The eight-bit float e4m3 as bytes: conversions by the GPU where it has them, else by its 16-bit arithmetic."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.target_info import cuda_capability_geq

E4M3_MAX = tl.constexpr(448.0)


@triton.jit
def decode_e4m3(codes):
    """uint8 to fp16, exact; the two codes for NaN give 480 and -480."""
    wide = codes.to(tl.int16)
    bits = (wide & 0x80) << 8 | (wide & 0x7F) << 7
    # As an fp16's bits the code reads 2**-8 of its value, below the smallest normal number too.
    return bits.to(tl.float16, bitcast=True) * 256.0


@triton.jit
def encode_e4m3(numbers):
    """fp32 of at most 448 to uint8, to nearest even."""
    if cuda_capability_geq(8, 9):
        codes = numbers.to(tl.float8e4nv).to(tl.uint8, bitcast=True)
    else:
        bits = numbers.to(tl.int32, bitcast=True)
        magnitude = bits & 0x7FFFFFFF
        # 20 bits of the mantissa are dropped, and the exponent's bias becomes 7.
        normal = (magnitude + 0x7FFFF + (magnitude >> 20 & 1) >> 20) - ((127 - 7) << 3)
        # Below 2**-6 codes count steps of 2**-9; added to this, a number keeps no smaller bits.
        ROUNDER: tl.constexpr = 1.5 * 2.0**14
        steps = magnitude.to(tl.float32, bitcast=True) + ROUNDER - ROUNDER
        subnormal = (steps * 512.0).to(tl.int32)
        unsigned = tl.where(magnitude < (127 - 6) << 23, subnormal, normal)
        codes = (unsigned | bits >> 24 & 0x80).to(tl.uint8)
    return codes


@triton.jit
def dot_e4m3(a, b, total):
    """`total + a @ b` of uint8 operands, on FP8 tensor cores where the compiler takes them, else on those for fp16."""
    if cuda_capability_geq(8, 9):
        # Hopper's FP8 sums keep 14 bits; they are moved to fp32 as often as each 128 of the depth.
        EXACT: tl.constexpr = min(128, a.shape[1])
        left, right = a.to(tl.float8e4nv, bitcast=True), b.to(tl.float8e4nv, bitcast=True)
        summed = tl.dot(left, right, total, max_num_imprecise_acc=EXACT)
    else:
        summed = tl.dot(decode_e4m3(a), decode_e4m3(b), total)
    return summed
