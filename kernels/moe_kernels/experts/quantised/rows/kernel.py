"""Quantises activations to e4m3, each row by its largest magnitudes, as weights of eight bits need them."""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.quantised.e4m3.kernel import E4M3_MAX, encode_e4m3

# Keeps the scale of zeros a number.
SMALLEST_MAGNITUDE = tl.constexpr(1e-10)


@triton.jit
def _scale(largest, finite):
    """The scale for a largest magnitude; NaN unless `finite` is 0, as 0 times every value is."""
    return tl.div_rn(tl.maximum(largest, SMALLEST_MAGNITUDE), E4M3_MAX) + finite


@triton.jit
def _encode(values, scale):
    return encode_e4m3(tl.clamp(tl.div_rn(values, scale), -E4M3_MAX, E4M3_MAX))


@triton.jit
def quantise_rows_kernel(
    x_ptr, values_ptr, scales_ptr, SIZE, stride_xm, stride_xk, stride_scale, BLOCK: tl.constexpr
):
    """[rows, SIZE] to uint8 [rows, SIZE] and one fp32 scale a row."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    largest = tl.zeros((BLOCK,), dtype=tl.float32)
    finite = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, SIZE, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + row * stride_xm + at * stride_xk, mask=at < SIZE, other=0.0).to(tl.float32)
        largest = tl.maximum(largest, tl.abs(x))
        finite += x * 0
    scale = _scale(tl.max(largest), tl.sum(finite))
    tl.store(scales_ptr + row * stride_scale, scale)
    for start in range(0, SIZE, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + row * stride_xm + at * stride_xk, mask=at < SIZE, other=0.0).to(tl.float32)
        tl.store(values_ptr + row * SIZE + at, _encode(x, scale), mask=at < SIZE)


@triton.jit
def quantise_groups_kernel(
    x_ptr,
    values_ptr,
    scales_ptr,
    SIZE,
    stride_xm,
    stride_xk,
    stride_scale,
    GROUP: tl.constexpr,
    GROUPS: tl.constexpr,
):
    """The same with a scale for each GROUP values of a row; a program takes GROUPS of them."""
    row = tl.program_id(0).to(tl.int64)
    groups = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    at = groups[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    x = tl.load(x_ptr + row * stride_xm + at * stride_xk, mask=at < SIZE, other=0.0).to(tl.float32)
    scale = _scale(tl.max(tl.abs(x), axis=1), tl.sum(x * 0, axis=1))
    tl.store(scales_ptr + row * stride_scale + groups, scale, mask=groups * GROUP < SIZE)
    tl.store(values_ptr + row * SIZE + at, _encode(x, scale[:, None]), mask=at < SIZE)
