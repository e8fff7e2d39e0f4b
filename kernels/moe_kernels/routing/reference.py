"""Routing by plain torch operations: the ops that engines ran before fusing, and the exact semantics."""

from __future__ import annotations

import torch
from torch import Tensor


def split_routing(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The split path: top-k, softmax, gather, multiply and casts, each a torch operation of its own.

    This is what serving engines ran before they fused routing (SGLang before pull request 26502); it is the baseline
    to time. `torch.topk` orders equal logits as it likes, so compare its expert sets tie-aware.

    Args:
        logits: [T, E], fp32, bf16 or fp16.
        per_expert_scale: [E], floating point.
        top_k: K, experts a token.

    Returns:
        weights fp32 [T, K] and ids int32 [T, K], by descending logit.
    """
    selected, ids = torch.topk(logits, top_k, dim=-1)
    weights = torch.softmax(selected, dim=-1, dtype=torch.float32) * per_expert_scale[ids]
    return weights.to(torch.float32), ids.to(torch.int32)


def reference_routing(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The exact semantics of `fused_routing` in plain torch operations, on any device and tensor subclass.

    A stable descending sort gives equal logits to the lowest expert id; +0 and -0 are equal, NaN of either sign is
    the greatest. A row that holds NaN or +inf gets NaN weights, as `torch.softmax` gives.

    Args:
        logits: [T, E], fp32, bf16 or fp16.
        per_expert_scale: [E], floating point.
        top_k: K, experts a token.

    Returns:
        weights fp32 [T, K] and ids int32 [T, K], by descending logit, ties to the lowest id.
    """
    # Sorts may look at the bits (CUDA's radix sort does), in which zeros and NaNs have signs.
    unsigned = torch.where(logits == 0, 0.0, logits)
    unsigned = torch.where(logits.isnan(), float("nan"), unsigned)
    ids = torch.sort(unsigned, dim=-1, descending=True, stable=True)[1].narrow(-1, 0, top_k)
    # From the logits themselves: no gradient flows through the constant that replaced a zero.
    weights = torch.softmax(logits.gather(-1, ids).to(torch.float32), dim=-1)
    # Widened before it is gathered, so that its gradient sums over tokens in fp32.
    return weights * per_expert_scale.to(torch.float32)[ids], ids.to(torch.int32)
