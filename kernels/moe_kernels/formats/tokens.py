"""Dynamic quantisation of activations to e4m3, as the engines do it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_kernels.formats.fp8 import E4M3_MAX

# Keeps the scale of a token of zeros a number; vLLM's and SGLang's kernels for groups take the same.
SMALLEST_MAGNITUDE = 1e-10


def quantise_tokens(tokens: Tensor, group: int | None = None) -> tuple[Tensor, Tensor]:
    """Quantises each token by its largest magnitude.

    Args:
        tokens: [T, H], floating point.
        group: values of a token that share a scale, the last ones perhaps fewer; None for all.

    Returns:
        float8_e4m3fn [T, H] and fp32 scales [T, ceil(H/group)] or [T, 1]; `value * scale` is about the token.
    """
    size = tokens.shape[1]
    width = max(size, 1) if group is None else group
    padded = functional.pad(tokens.float(), (0, -size % width))
    grouped = torch.unflatten(padded, -1, (-(-size // width), width))
    scales = grouped.abs().amax(-1).clamp(min=SMALLEST_MAGNITUDE) / E4M3_MAX
    scaled = (grouped / scales.unsqueeze(-1)).clamp(-E4M3_MAX, E4M3_MAX)
    values = scaled.to(torch.float8_e4m3fn).flatten(-2)[:, :size]
    return values.contiguous(), scales


def dequantise_tokens(values: Tensor, scales: Tensor, group: int | None, dtype: torch.dtype) -> Tensor:
    """The tokens [T, H] that `quantise_tokens` stands for."""
    spread = scales.to(dtype)
    if group is not None:
        spread = spread.repeat_interleave(group, -1)[:, : values.shape[-1]]
    return values.to(dtype) * spread
