"""The launch that sorts slots by expert, and the buffers that it fills."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from moe_kernels.experts.align.kernel import align_kernel
from moe_kernels.experts.align.reference import Aligned
from moe_kernels.tunable import KernelLaunch

FEW_SLOTS = 1024


def most_blocks(num_slots: int, num_experts: int, block_size: int) -> int:
    """The most blocks that any routing of so many slots fills.

    Every expert in use wastes less than one block, so it is worst with as many of them in use as there can be.
    """
    in_use = min(num_slots, num_experts)
    return in_use + (num_slots - in_use) // block_size


def empty_aligned(num_slots: int, num_experts: int, block_size: int, device: torch.device) -> Aligned:
    """Buffers for the worst case, uninitialised."""
    blocks = most_blocks(num_slots, num_experts, block_size)
    sizes = (blocks * block_size, blocks, 1)
    return Aligned(*(torch.empty(size, dtype=torch.int32, device=device) for size in sizes))


def align_launch(ids: Tensor, num_experts: int, block_size: int, aligned: Aligned) -> KernelLaunch:
    """Describes the launch that sorts `ids` into `aligned`.

    Args:
        ids: [T, K], int32 or int64, contiguous.
        num_experts: E, at least 1.
        block_size: slots of a block, a power of two.
        aligned: see `empty_aligned`, written as far as it is used.
    """
    few = ids.numel() <= FEW_SLOTS
    return KernelLaunch(
        kernel=align_kernel,
        grid=(num_experts, 1, 1),
        arguments={
            "ids_ptr": ids,
            "sorted_slots_ptr": aligned.sorted_slots,
            "block_experts_ptr": aligned.block_experts,
            "num_blocks_ptr": aligned.num_blocks,
            "num_slots": ids.numel(),
        },
        constexprs={
            "E": num_experts,
            "BLOCK_M": block_size,
            # One bin more than experts, for the slots of none.
            "BLOCK_E": triton.next_power_of_2(num_experts + 1),
            "CHUNK": 256 if few else 4096,
        },
        options={"num_warps": 4 if few else 16, "enable_fp_fusion": True},
        # An expert's blocks are numbered in one round, unless there are more of them than experts.
        data_trips=1.0,
    )
