"""Rotary position embeddings (https://arxiv.org/abs/2104.09864), one kind for each kind of layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.layer_types import LayerType, RopeParameters


def inverse_frequencies(
    rope: RopeParameters, head_dim: int, *, device: torch.device | str | None = None
) -> Tensor:
    """The angle by which one position turns each pair of elements.

    `theta^(-2i / head_dim)`; the proportional kind leaves the last pairs, those beyond
    `partial_rotary_factor`, where they are, and divides all angles by `factor`.

    Args:
        rope: the kind and its parameters.
        head_dim: D, elements of a head.
        device: where the result lives.

    Returns:
        fp32 [D / 2].
    """
    pairs = head_dim // 2
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    angles = 1.0 / rope.rope_theta**exponents
    if rope.rope_type == "default":
        return angles
    rotated = int(rope.partial_rotary_factor * head_dim // 2)
    return angles.masked_fill(torch.arange(pairs, device=device) >= rotated, 0.0) / rope.factor


def rotation_table(
    rope: RopeParameters,
    head_dim: int,
    positions: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Cosines and signed sines of the first positions.

    Args:
        rope: the kind and its parameters.
        head_dim: D, elements of a head.
        positions: P, from 0.
        device: where the result lives.
        dtype: of the result; angles are computed in fp32.

    Returns:
        [P, 2, D]: the cosines, then the sines with the first half negated, as `rotate` wants them.
    """
    angles = torch.arange(positions, dtype=torch.float32, device=device)[:, None] * inverse_frequencies(
        rope, head_dim, device=device
    )
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)], dim=1).to(dtype)


def rotation_tables(
    config: Gemma4Config,
    positions: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Mapping[LayerType, Tensor]:
    """The table of each kind of layer; see `rotation_table`."""
    ropes = {"sliding_attention": config.sliding_rope, "full_attention": config.full_rope}
    return {
        layer_type: rotation_table(
            ropes[layer_type], config.heads_of(layer_type)[0], positions, device=device, dtype=dtype
        )
        for layer_type in dict.fromkeys(config.layer_types)
    }


def rotate(heads: Tensor, rotation: tuple[Tensor, ...]) -> Tensor:
    """Turns each pair (i, i + D/2) of every head by its position's angle.

    Args:
        heads: [B, S, N, D].
        rotation: cosines and signed sines of a `rotation_table`, each [B or 1, S, 1, D].

    Returns:
        [B, S, N, D].
    """
    cos, sin = rotation
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)
