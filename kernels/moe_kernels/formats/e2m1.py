"""Four-bit floating point (e2m1): sign, two bits of exponent, one of mantissa; two in a byte, the low nibble first."""

from __future__ import annotations

import torch
from torch import Tensor

E2M1_MAX = 6.0
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_SIGN = 8


def encode_e2m1(values: Tensor) -> Tensor:
    """Rounds to the nearest code, half-way ones to the even code; uint8 of the same shape, 0 to 15.

    What is negative keeps its sign also where it rounds to zero.
    """
    codes = torch.zeros_like(values, dtype=torch.uint8)
    magnitudes = values.abs()
    for code in range(1, len(MAGNITUDES)):
        midway = (MAGNITUDES[code - 1] + MAGNITUDES[code]) / 2
        codes += magnitudes > midway if code % 2 else magnitudes >= midway
    return codes + _SIGN * (values < 0).to(torch.uint8)


def decode_e2m1(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """The values of codes 0 to 15, exact in any floating-point dtype of 8 bits and more."""
    signed = [*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)]
    return torch.tensor(signed, dtype=dtype, device=codes.device)[codes.long()]


def pack_bytes(codes: Tensor) -> Tensor:
    """Packs uint8 codes [..., K], K even, into uint8 [..., K/2]."""
    return codes[..., 0::2] | codes[..., 1::2] << 4


def unpack_bytes(packed: Tensor) -> Tensor:
    """Unpacks uint8 [..., K/2] into uint8 codes [..., K]."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)
