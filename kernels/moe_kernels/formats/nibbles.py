"""Signed four-bit integers, eight in an int32: the least significant nibble first, each stored plus 8."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NIBBLES = 8
OFFSET = 8


def packed_size(size: int) -> int:
    """How many int32 hold so many four-bit integers."""
    return -(-size // NIBBLES)


def pack_int4(values: Tensor) -> Tensor:
    """Packs [..., K] of any integer dtype, -8 to 7, into int32 [..., ceil(K/8)]; nibbles to spare are zero."""
    words = packed_size(values.shape[-1])
    codes = values.to(torch.int32) + OFFSET
    padded = functional.pad(codes, (0, words * NIBBLES - values.shape[-1]))
    shifted = torch.unflatten(padded, -1, (words, NIBBLES)) << _shifts(values.device)
    # No two nibbles share a bit, so the sum is their union; in int32 the last one becomes the sign.
    return shifted.sum(-1, dtype=torch.int32)


def unpack_int4(words: Tensor, size: int) -> Tensor:
    """Unpacks int32 [..., ceil(K/8)] into int8 [..., K], -8 to 7."""
    codes = (words.unsqueeze(-1) >> _shifts(words.device)) & 15
    return (codes - OFFSET).to(torch.int8).flatten(-2)[..., :size]


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(0, 4 * NIBBLES, 4, dtype=torch.int32, device=device)
