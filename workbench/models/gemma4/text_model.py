"""What stands between ids and hidden states: embedding, decoder layers, final norm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectModule
from workbench.models.gemma4.kv_cache import LayerCache
from workbench.models.gemma4.layer import Gemma4DecoderLayer
from workbench.models.gemma4.norm import Gemma4RMSNorm
from workbench.models.gemma4.passes import Pass
from workbench.models.gemma4.router import Routing


class Gemma4TextModel(DirectModule):
    """Embedding, layers and final norm; parameters as in the checkpoint: `embed_tokens`, `layers`, `norm`.

    Args:
        config: the model.
        query_only: the layers read keys and values of another model.
        routing: as in `Gemma4Router`.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    def __init__(
        self,
        config: Gemma4Config,
        *,
        query_only: bool = False,
        routing: Routing = "fused",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, device=device, dtype=dtype)
        self.layer_types = config.layer_types
        self.layers = nn.ModuleList(
            Gemma4DecoderLayer(
                config, layer_type, query_only=query_only, routing=routing, device=device, dtype=dtype
            )
            for layer_type in config.layer_types
        )
        self.norm = Gemma4RMSNorm(config.hidden_size, config.rms_norm_eps, device=device, dtype=dtype)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings [..., H] of ids [...], times the root of H."""
        weight = self.embed_tokens.weight
        embedded: Tensor = self.embed_tokens(ids) * _rounded_root(weight.shape[1], weight.dtype)
        return embedded

    def forward(self, hidden: Tensor, inputs: Pass, caches: Sequence[LayerCache] | None = None) -> Tensor:
        """Runs embeddings [B, S, H] through the layers, without the final norm; `caches` is one a layer."""
        for index, (layer, layer_type) in enumerate(zip(self.layers, self.layer_types, strict=True)):
            cache = None if caches is None else caches[index]
            hidden = layer(hidden, inputs[layer_type], cache)
        return hidden


@cache
def _rounded_root(hidden_size: int, dtype: torch.dtype) -> float:
    """The root as the weights' dtype has it: transformers rounds it before it multiplies."""
    return torch.tensor(hidden_size**0.5, dtype=dtype).item()
