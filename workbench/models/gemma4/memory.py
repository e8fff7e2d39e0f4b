"""How much memory a model takes, computed from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.kv_cache import layer_specs
from workbench.models.gemma4.model import Gemma4ForCausalLM
from workbench.models.gemma4.weights import unique_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFootprint:
    """Bytes that stay allocated while a model decodes; what a pass needs beside them is not counted.

    Attributes:
        weights: of all parameters and buffers, tied ones once.
        cache: of keys and values.
        depth: of the model, as `Gemma4Config.depth`.
    """

    weights: int
    cache: int
    depth: str

    @property
    def total(self) -> int:
        """Weights and cache."""
        return self.weights + self.cache


def memory_footprint(
    config: Gemma4Config, *, batch: int, tokens: int, dtype: torch.dtype = torch.bfloat16
) -> MemoryFootprint:
    """Sizes a model with a static cache; nothing is allocated.

    Args:
        config: the model.
        batch: sequences.
        tokens: of each sequence.
        dtype: of weights, keys and values.
    """
    model = Gemma4ForCausalLM(config, device="meta", dtype=dtype)
    return MemoryFootprint(
        weights=sum(tensor.nbytes for tensor in unique_tensors(model)),
        cache=sum(batch * spec.bytes_for(tokens) for spec in layer_specs(config, dtype)),
        depth=config.depth,
    )
