"""Both projections of the experts for few tokens, for weights in a quantised format: as the dense ones are."""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.decode.kernel import _find_expert, _find_slots
from moe_kernels.experts.kernel import activate_tile, weight_rows
from moe_kernels.experts.quantised.e4m3.kernel import decode_e4m3


@triton.jit(do_not_specialize=["num_slots"])
def quantised_expert_kernel(
    a_ptr,
    a_scales,
    weights,
    out_ptr,
    weights_ptr,
    ids_ptr,
    num_slots,
    N,
    K,
    stride_am,
    stride_ak,
    PRODUCT: tl.constexpr,
    LAYOUT: tl.constexpr,
    E: tl.constexpr,
    SLOTS_PER_ROW: tl.constexpr,
    EPILOGUE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    GATED: tl.constexpr,
    BY_SLOT: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
):
    """`out[slot] = epilogue(a[slot // SLOTS_PER_ROW] @ weights[expert of slot].T)`, as `expert_matmul_kernel`.

    PRODUCT is the format's; `weights` holds its tensors with their strides, `a_scales` those of quantised activations.
    """
    num_column_blocks = tl.cdiv(N, BLOCK_N)
    group, column_block = tl.program_id(0) // num_column_blocks, tl.program_id(0) % num_column_blocks
    expert, count = _find_expert(ids_ptr, num_slots, group, E, BY_SLOT, CHUNK)
    if count == 0:
        return
    INTERLEAVE: tl.constexpr = GATED and EPILOGUE == "activate"
    WIDTH: tl.constexpr = BLOCK_N // 2 if INTERLEAVE else BLOCK_N
    out_size = N // 2 if INTERLEAVE else N
    columns = column_block * WIDTH + tl.arange(0, WIDTH)
    rows = weight_rows(column_block * BLOCK_N + tl.arange(0, BLOCK_N), N, INTERLEAVE)
    for first in range(0, count, BLOCK_M):
        wanted = first + tl.arange(0, BLOCK_M)
        in_use = wanted < count
        slots = _find_slots(ids_ptr, num_slots, expert, wanted, E, CHUNK).to(tl.int64)
        a_rows = slots // SLOTS_PER_ROW
        total = PRODUCT(
            a_ptr + a_rows * stride_am,
            in_use,
            None if a_scales is None else (a_scales[0] + a_rows * a_scales[1], a_scales[2]),
            weights,
            rows,
            expert.to(tl.int64),
            K,
            stride_ak,
            LAYOUT,
            BLOCK_M,
            BLOCK_N,
            BLOCK_K,
            EVEN_K,
        )
        if EPILOGUE == "activate":
            total = activate_tile(total, ACTIVATION, GATED)
        else:
            tl.static_assert(EPILOGUE == "weigh", "unknown epilogue")
            total *= tl.load(weights_ptr + slots, mask=in_use, other=0.0).to(tl.float32)[:, None]
        out_ptrs = out_ptr + slots[:, None] * out_size + columns[None, :]
        mask = in_use[:, None] & (columns < out_size)[None, :]
        tl.store(out_ptrs, total.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _load_activations(inner_ptr, a_scales, slot, K, at, SCALE_DEPTH: tl.constexpr):
    """[BLOCK_K] of a slot's activations in fp32, 0 beyond K."""
    mask = at < K
    if a_scales is None:
        activations = tl.load(inner_ptr + slot * K + at, mask=mask, other=0.0).to(tl.float32)
    else:
        scales_ptr, stride_m, stride_k = a_scales
        codes = tl.load(inner_ptr + slot * K + at, mask=mask, other=0)
        scales = tl.load(scales_ptr + slot * stride_m + at // SCALE_DEPTH * stride_k, mask=mask, other=0.0)
        activations = decode_e4m3(codes).to(tl.float32) * scales
    return activations


@triton.jit
def quantised_token_kernel(
    inner_ptr,
    a_scales,
    weights,
    out_ptr,
    weights_ptr,
    ids_ptr,
    N,
    K,
    LOAD_BLOCK: tl.constexpr,
    ROW_FACTORS: tl.constexpr,
    LAYOUT: tl.constexpr,
    SCALE_DEPTH: tl.constexpr,
    E: tl.constexpr,
    TOP_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
    NUM_STAGES: tl.constexpr,
):
    """A token's experts one after the other, summed in the program, as `token_down_kernel`.

    The factors of rows multiply once an expert; the depth is reduced once, at the end.
    """
    dtype: tl.constexpr = out_ptr.dtype.element_ty
    num_column_blocks = tl.cdiv(N, BLOCK_N)
    token = (tl.program_id(0) // num_column_blocks).to(tl.int64)
    columns = tl.program_id(0) % num_column_blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = (columns % N).to(tl.int64)
    depth = tl.arange(0, BLOCK_K)
    total = tl.zeros((BLOCK_N, BLOCK_K), dtype=tl.float32)
    for k in range(TOP_K):
        slot = token * TOP_K + k
        expert = tl.load(ids_ptr + slot).to(tl.int64)
        if (expert >= 0) & (expert < E):
            part = tl.zeros((BLOCK_N, BLOCK_K), dtype=tl.float32)
            for start in tl.range(0, K, BLOCK_K, num_stages=NUM_STAGES):
                a = _load_activations(inner_ptr, a_scales, slot, K, start + depth, SCALE_DEPTH)
                b = LOAD_BLOCK(weights, rows, expert, start, K, dtype, LAYOUT, BLOCK_N, BLOCK_K, EVEN_K)
                part += a[None, :] * b.to(tl.float32)
            weight = tl.load(weights_ptr + slot).to(tl.float32)
            factors = ROW_FACTORS(weights, rows, expert, dtype, LAYOUT) * weight
            total += part * factors[:, None]
    sums = tl.sum(total, axis=1)
    tl.store(out_ptr + token * N + columns, sums.to(out_ptr.dtype.element_ty), mask=columns < N)
