"""Both projections of the experts for few tokens: no sorting, and each expert's weights read once.

A program owns a block of rows of one expert's weights and finds the slots of that expert by itself, by going through
the ids of all slots.
"""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.kernel import activate_tile, load_ids, load_weights, matmul_tile, weight_rows


@triton.jit
def _find_expert(ids_ptr, num_slots, group, E: tl.constexpr, BY_SLOT: tl.constexpr, CHUNK: tl.constexpr):
    """The expert of a group of programs and how many slots it has, 0 where the group has nothing to do.

    By slot, a group's expert is that of its slot, and belongs to the first slot that has it; otherwise groups are
    experts.
    """
    expert = load_ids(ids_ptr, group, num_slots, E) if BY_SLOT else group
    count = 0
    earlier = 0
    for start in range(0, num_slots, CHUNK):
        slots = start + tl.arange(0, CHUNK)
        matches = load_ids(ids_ptr, slots, num_slots, E) == expert
        count += tl.sum(matches.to(tl.int32))
        earlier += tl.sum((matches & (slots < group)).to(tl.int32))
    is_idle = (expert < 0) | (earlier > 0) if BY_SLOT else False
    return expert, tl.where(is_idle, 0, count)


@triton.jit
def _find_slots(ids_ptr, num_slots, expert, wanted, E: tl.constexpr, CHUNK: tl.constexpr):
    """The slots of an expert whose ranks among all of its slots are wanted, [BLOCK_M]."""
    found = tl.zeros((wanted.shape[0], CHUNK), dtype=tl.int32)
    before = 0
    for start in range(0, num_slots, CHUNK):
        slots = start + tl.arange(0, CHUNK)
        matches = (load_ids(ids_ptr, slots, num_slots, E) == expert).to(tl.int32)
        ranks = tl.where(matches > 0, before + tl.cumsum(matches) - 1, -1)
        found = tl.where(ranks[None, :] == wanted[:, None], slots[None, :], found)
        before += tl.sum(matches)
    return tl.sum(found, axis=1)


@triton.jit(do_not_specialize=["num_slots"])
def expert_matmul_kernel(
    a_ptr,
    b_ptr,
    scale_ptr,
    out_ptr,
    weights_ptr,
    ids_ptr,
    num_slots,
    N,
    K,
    stride_am,
    stride_ak,
    stride_be,
    stride_bn,
    stride_bk,
    E: tl.constexpr,
    SLOTS_PER_ROW: tl.constexpr,
    EPILOGUE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    GATED: tl.constexpr,
    FORMAT: tl.constexpr,
    BY_SLOT: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
):
    """`out[slot] = epilogue(a[slot // SLOTS_PER_ROW] @ b[expert of slot].T)`, as the grouped product computes it.

    BLOCK_M slots of an expert are multiplied at a time; where it has more, its weights are read again.
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
    b_row_ptrs = b_ptr + expert.to(tl.int64) * stride_be + rows * stride_bn
    for first in range(0, count, BLOCK_M):
        wanted = first + tl.arange(0, BLOCK_M)
        in_use = wanted < count
        slots = _find_slots(ids_ptr, num_slots, expert, wanted, E, CHUNK).to(tl.int64)
        total = matmul_tile(
            a_ptr + slots // SLOTS_PER_ROW * stride_am,
            in_use,
            b_row_ptrs,
            scale_ptr,
            K,
            stride_ak,
            stride_bk,
            BLOCK_M,
            BLOCK_N,
            BLOCK_K,
            EVEN_K,
            FORMAT,
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
def token_down_kernel(
    inner_ptr,
    down_ptr,
    scale_ptr,
    out_ptr,
    weights_ptr,
    ids_ptr,
    N,
    K,
    stride_be,
    stride_bn,
    stride_bk,
    E: tl.constexpr,
    TOP_K: tl.constexpr,
    FORMAT: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    NUM_STAGES: tl.constexpr,
):
    """A token's experts one after the other, summed in the program: no partial results and no launch to sum them.

    Tokens that share an expert each read its weights. The products are accumulated per column and depth and reduced
    once, at the end.
    """
    num_column_blocks = tl.cdiv(N, BLOCK_N)
    token = (tl.program_id(0) // num_column_blocks).to(tl.int64)
    columns = tl.program_id(0) % num_column_blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    total = tl.zeros((BLOCK_N, BLOCK_K), dtype=tl.float32)
    for k in range(TOP_K):
        slot = token * TOP_K + k
        expert = tl.load(ids_ptr + slot)
        if (expert >= 0) & (expert < E):
            weight = tl.load(weights_ptr + slot).to(tl.float32)
            row_ptrs = (
                down_ptr + expert.to(tl.int64) * stride_be + (columns % N).to(tl.int64)[:, None] * stride_bn
            )
            for start in tl.range(0, K, BLOCK_K, num_stages=NUM_STAGES):
                at = start + depth
                a = tl.load(inner_ptr + slot * K + at, mask=at < K, other=0.0).to(tl.float32) * weight
                b = load_weights(row_ptrs + at[None, :] * stride_bk, scale_ptr, (at < K)[None, :], FORMAT)
                total += a[None, :] * b.to(tl.float32)
    sums = tl.sum(total, axis=1)
    tl.store(out_ptr + token * N + columns, sums.to(out_ptr.dtype.element_ty), mask=columns < N)
