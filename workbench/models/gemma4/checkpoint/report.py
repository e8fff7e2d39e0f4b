"""What became of each tensor of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointReport:
    """What a load did with each tensor.

    Attributes:
        used: files by name of tensor, as it is in the checkpoint.
        unused: reasons by name of tensor, for those that are no part of the model.
        dtype: of the loaded weights, where they are not held in a format.
        depth: of the model, as `Gemma4Config.depth`.
        formats: names of formats by module that holds its weights in them.
        dequantised: names of formats by weight that was quantised and is held in `dtype`.
        notes: how the loaded model computes otherwise than the checkpoint's config says.
    """

    folder: Path
    used: Mapping[str, str]
    unused: Mapping[str, str]
    dtype: str
    depth: str
    tied: bool
    formats: Mapping[str, str] = field(default_factory=dict)
    dequantised: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
