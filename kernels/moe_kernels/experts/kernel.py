"""What the expert kernels share: reading ids, one tile of a matrix product, activations, and the sum over experts.

A *slot* is one (token, expert) pair: slot `t * K + k` is token t at its k-th expert.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Unrolling the sum over more experts than this only costs compile time.
MAX_UNROLLED_EXPERTS = tl.constexpr(16)


@triton.jit
def load_ids(ids_ptr, slots, num_slots, E: tl.constexpr):
    """The experts of slots as int32; -1 where a slot does not exist or its expert is out of range."""
    # Compared before it is narrowed: a 64-bit id may wrap around into the range.
    ids = tl.load(ids_ptr + slots, mask=slots < num_slots, other=-1)
    return tl.where((ids >= 0) & (ids < E), ids, -1).to(tl.int32)


@triton.jit
def weight_rows(columns, N, INTERLEAVE: tl.constexpr):
    """The rows of an expert's weights that make these output columns; those beyond N wrap around.

    Interleaved, even columns are rows of the gate and odd ones the same rows of the up projection, so that both
    halves of a gated activation meet in one tile, in neighbouring registers of one thread.
    """
    wrapped = (columns % N).to(tl.int64)
    return (wrapped % 2) * (N // 2) + wrapped // 2 if INTERLEAVE else wrapped


@triton.jit
def load_weights(weight_ptrs, scale_ptr, mask, FORMAT: tl.constexpr):
    """One tile of weights as the operand of a matrix product: the one place that knows how they are stored."""
    tl.static_assert(FORMAT == "plain", "unknown weight format")
    tl.static_assert(scale_ptr is None, "plain weights have no scales")
    return tl.load(weight_ptrs) if mask is None else tl.load(weight_ptrs, mask=mask, other=0.0)


@triton.jit
def matmul_tile(
    a_row_ptrs,
    a_mask,
    b_row_ptrs,
    scale_ptr,
    K,
    stride_ak,
    stride_bk,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
    FORMAT: tl.constexpr,
):
    """`a[rows, :] @ b[rows, :].T` in fp32, [BLOCK_M, BLOCK_N]; rows whose mask is False are zero."""
    depth = tl.arange(0, BLOCK_K)
    a_ptrs = a_row_ptrs[:, None] + depth[None, :] * stride_ak
    b_ptrs = b_row_ptrs[None, :] + depth[:, None] * stride_bk
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        if EVEN_K:
            a = tl.load(a_ptrs, mask=a_mask[:, None], other=0.0)
            b = load_weights(b_ptrs, scale_ptr, None, FORMAT)
        else:
            left = depth < K - k * BLOCK_K
            a = tl.load(a_ptrs, mask=a_mask[:, None] & left[None, :], other=0.0)
            b = load_weights(b_ptrs, scale_ptr, left[:, None], FORMAT)
        total = tl.dot(a, b, total)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * stride_bk
    return total


@triton.jit
def pointwise(gate, ACTIVATION: tl.constexpr):
    """An activation's function without its gating, fp32 to fp32."""
    if ACTIVATION == "silu":
        share = tl.sigmoid(gate)
    elif ACTIVATION == "gelu_tanh":
        # (1 + tanh(u)) / 2 = sigmoid(2u)
        share = tl.sigmoid(1.5957691216057308 * gate * (1 + 0.044715 * gate * gate))
    else:
        tl.static_assert(ACTIVATION == "gelu", "unknown activation")
        share = 0.5 * (1 + tl.erf(gate * 0.7071067811865476))
    return gate * share


@triton.jit
def activate_tile(total, ACTIVATION: tl.constexpr, GATED: tl.constexpr):
    """The activation of a tile; a gated one takes interleaved columns and gives half as many."""
    if GATED:
        gate, up = tl.split(tl.reshape(total, (total.shape[0], total.shape[1] // 2, 2)))
        inner = pointwise(gate, ACTIVATION) * up
    else:
        inner = pointwise(total, ACTIVATION)
    return inner


@triton.jit
def _add_expert(total, partials_ptr, ids_ptr, slot, columns, H, E: tl.constexpr):
    expert = tl.load(ids_ptr + slot)
    width = tl.where((expert >= 0) & (expert < E), H, 0)
    return total + tl.load(partials_ptr + slot * H + columns, mask=columns < width, other=0.0).to(tl.float32)


@triton.jit
def sum_kernel(
    partials_ptr, ids_ptr, out_ptr, H, E: tl.constexpr, TOP_K: tl.constexpr, BLOCK_H: tl.constexpr
):
    """Sums each token's partial results [T, K, H] in the order of its slots; foreign experts were never written."""
    token = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    total = tl.zeros((BLOCK_H,), dtype=tl.float32)
    if TOP_K <= MAX_UNROLLED_EXPERTS:
        for k in tl.static_range(TOP_K):
            total = _add_expert(total, partials_ptr, ids_ptr, token * TOP_K + k, columns, H, E)
    else:
        for k in range(TOP_K):
            total = _add_expert(total, partials_ptr, ids_ptr, token * TOP_K + k, columns, H, E)
    tl.store(out_ptr + token * H + columns, total.to(out_ptr.dtype.element_ty), mask=columns < H)
