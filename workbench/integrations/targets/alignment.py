"""Tokens sorted by expert in whole blocks, as the engines' MoE kernels read them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which rows each block of a grouped GEMM computes.

    Attributes:
        sorted_token_ids: int32 [P], indices into the flattened [T, K] routing by expert, each expert's padded to a
            multiple of the block with T*K; None where every block has one row, in order.
        expert_ids: int32, the expert of each block.
        num_tokens_post_padded: int32 [1], how much of `sorted_token_ids` counts.
    """

    sorted_token_ids: Tensor | None
    expert_ids: Tensor
    num_tokens_post_padded: Tensor


def align(ids: Tensor, block_m: int, num_experts: int, *, skip: bool = False) -> Alignment:
    """Sorts a routing [T, K] by expert, in torch operations.

    Args:
        ids: int32 [T, K], every expert at most once a token.
        block_m: rows of a block.
        num_experts: how many experts there are.
        skip: leaves the order as it is and gives every row a block of its own.
    """
    if skip:
        return Alignment(None, ids.reshape(-1), _one(ids.numel() * block_m, ids))
    flat = ids.reshape(-1).long()
    sorted_ids, experts = [], []
    for expert in range(num_experts):
        rows = (flat == expert).nonzero().reshape(-1)
        blocks = -(-len(rows) // block_m)
        sorted_ids.append(torch.nn.functional.pad(rows, (0, blocks * block_m - len(rows)), value=len(flat)))
        experts.append(torch.full((blocks,), expert, device=ids.device))
    return Alignment(
        torch.cat(sorted_ids).int(), torch.cat(experts).int(), _one(len(torch.cat(sorted_ids)), ids)
    )


def meta_alignment(ids: Tensor, block_m: int, num_experts: int, *, skip: bool = False) -> Alignment:
    """The same without data, as long as the engines make it for any routing of that shape."""
    if skip:
        return Alignment(None, ids.reshape(-1), _one(0, ids))
    longest = ids.numel() + min(ids.numel(), num_experts) * (block_m - 1)
    padded = torch.empty(longest, dtype=torch.int32, device=ids.device)
    return Alignment(
        padded, torch.empty(-(-longest // block_m), dtype=torch.int32, device=ids.device), _one(0, ids)
    )


def _one(value: int, like: Tensor) -> Tensor:
    return torch.full((1,), value, dtype=torch.int32, device=like.device)
