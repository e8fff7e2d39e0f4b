"""Sorting slots by expert in plain torch operations: the exact contents of the buffers that the kernel writes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Aligned(NamedTuple):
    """Slots sorted by expert, each expert's segment filled up to whole blocks.

    Attributes:
        sorted_slots: int32 [blocks * block size]; the number of slots marks padding.
        block_experts: int32 [blocks], the expert of each block.
        num_blocks: int32 [1], blocks in use; what lies beyond is undefined.
    """

    sorted_slots: Tensor
    block_experts: Tensor
    num_blocks: Tensor


def reference_align(ids: Tensor, num_experts: int, block_size: int) -> Aligned:
    """Sorts the slots of `ids` by expert, stably, and drops those whose expert is out of range.

    Args:
        ids: [T, K], integer; an id outside 0..E-1 marks an expert that lives elsewhere.
        num_experts: E.
        block_size: slots of a block.

    Returns:
        The buffers, as long as they are used.
    """
    flat = ids.flatten()
    segments, experts = [], []
    for expert in range(num_experts):
        slots = torch.nonzero(flat == expert).flatten().int()
        blocks = -(-slots.numel() // block_size)
        padding = slots.new_full((blocks * block_size - slots.numel(),), flat.numel())
        segments += [slots, padding]
        experts += [expert] * blocks
    block_experts = torch.tensor(experts, dtype=torch.int32, device=ids.device)
    num_blocks = torch.tensor([len(experts)], dtype=torch.int32, device=ids.device)
    return Aligned(torch.cat(segments) if segments else flat[:0].int(), block_experts, num_blocks)
