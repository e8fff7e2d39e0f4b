"""Sorts slots by expert into segments of whole blocks, for a grouped matrix product, in one launch.

One program an expert. Each counts all ids for itself, which needs no exchange between programs, and so no second
launch and no atomics in global memory; the ids stay in the L2 cache.
"""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.kernel import load_ids


@triton.jit
def _count_slots(ids_ptr, num_slots, E: tl.constexpr, BLOCK_E: tl.constexpr, CHUNK: tl.constexpr):
    """Slots of each expert, [BLOCK_E]; the last bin collects those of no expert."""
    counts = tl.zeros((BLOCK_E,), dtype=tl.int32)
    for start in range(0, num_slots, CHUNK):
        ids = load_ids(ids_ptr, start + tl.arange(0, CHUNK), num_slots, E)
        counts += tl.histogram(tl.where(ids < 0, BLOCK_E - 1, ids), BLOCK_E)
    return counts


@triton.jit(do_not_specialize=["num_slots"])
def align_kernel(
    ids_ptr,
    sorted_slots_ptr,
    block_experts_ptr,
    num_blocks_ptr,
    num_slots,
    E: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    CHUNK: tl.constexpr,
):
    expert = tl.program_id(0)
    experts = tl.arange(0, BLOCK_E)
    counts = _count_slots(ids_ptr, num_slots, E, BLOCK_E, CHUNK)
    blocks = tl.where(experts < E, (counts + BLOCK_M - 1) // BLOCK_M, 0)
    first_block = tl.sum(tl.where(experts < expert, blocks, 0))
    own_blocks = tl.sum(tl.where(experts == expert, blocks, 0))
    if expert == E - 1:
        tl.store(num_blocks_ptr, first_block + own_blocks)
    if own_blocks > 0:
        for start in range(0, own_blocks, BLOCK_E):
            tl.store(
                block_experts_ptr + first_block + start + experts, expert, mask=start + experts < own_blocks
            )
        segment_ptr = sorted_slots_ptr + first_block * BLOCK_M
        filled = 0
        for start in range(0, num_slots, CHUNK):
            slots = start + tl.arange(0, CHUNK)
            own = load_ids(ids_ptr, slots, num_slots, E) == expert
            ranks = filled + tl.cumsum(own.to(tl.int32)) - 1
            tl.store(segment_ptr + ranks, slots, mask=own)
            filled += tl.sum(own.to(tl.int32))
        padding = filled + tl.arange(0, BLOCK_M)
        tl.store(segment_ptr + padding, num_slots, mask=padding < own_blocks * BLOCK_M)
