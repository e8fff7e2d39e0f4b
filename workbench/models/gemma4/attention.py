"""Attention of a decoder layer, sliding or full, and the kind that only asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectLinear, DirectModule
from workbench.models.gemma4.kv_cache import LayerCache
from workbench.models.gemma4.layer_types import LayerType
from workbench.models.gemma4.norm import Gemma4RMSNorm, rms_norm
from workbench.models.gemma4.rope import rotate

# Takes a layer's cache and new keys and values [B, S, KV heads, D]; gives all that the queries may see, by
# head, [B, KV heads, T, D].
Store = Callable[[LayerCache | None, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class AttentionInputs:
    """What all layers of one kind share in a pass.

    Attributes:
        rotation: cosines and signed sines for queries and new keys, each [B or 1, S, 1, D].
        mask: added to the scores, [B or 1, 1, G x S or 1, T] for G query heads that share a KV head.
        store: how new keys and values enter the cache.
    """

    rotation: tuple[Tensor, ...]
    mask: Tensor
    store: Store


class Gemma4QueryAttention(DirectModule):
    """Attention without keys and values of its own: it reads what another model's layer stored.

    Scores are not scaled, since queries and keys are normalised. Parameters as in the checkpoint: `q_proj`,
    `q_norm`, `o_proj`.

    Args:
        config: the model.
        layer_type: sliding or full, which decides the width and number of heads.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    def __init__(
        self,
        config: Gemma4Config,
        layer_type: LayerType,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.layer_type = layer_type
        self.head_dim, self.num_kv_heads = config.heads_of(layer_type)
        self.eps = config.rms_norm_eps
        width, bias = config.num_attention_heads * self.head_dim, config.attention_bias
        self.q_proj = DirectLinear(config.hidden_size, width, bias=bias, device=device, dtype=dtype)
        self.q_norm = Gemma4RMSNorm(self.head_dim, self.eps, device=device, dtype=dtype)
        self.o_proj = DirectLinear(width, config.hidden_size, bias=bias, device=device, dtype=dtype)

    def forward(self, hidden: Tensor, inputs: AttentionInputs, cache: LayerCache | None) -> Tensor:
        """Attends to what `cache` holds.

        Args:
            hidden: [B, S, H], normalised.
            inputs: shared by all layers of this kind.
            cache: keys and values, those that the mask covers.

        Returns:
            [B, S, H].
        """
        assert cache is not None
        query = rotate(self._queries(hidden), inputs.rotation)
        return self._attend(query, *cache.by_head, inputs.mask)

    def _split_heads(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:-1], -1, self.head_dim)

    def _queries(self, hidden: Tensor) -> Tensor:
        queries: Tensor = self.q_norm(self._split_heads(self.q_proj(hidden)))
        return queries

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Query heads that share a KV head become rows of one product, so no key is repeated."""
        batch, length, heads, head_dim = query.shape
        rows = query if length == 1 else query.transpose(1, 2)
        rows = rows.reshape(batch, self.num_kv_heads, heads // self.num_kv_heads * length, head_dim)
        attended = functional.scaled_dot_product_attention(rows, keys, values, attn_mask=mask, scale=1.0)
        if length > 1:
            attended = attended.reshape(batch, heads, length, head_dim).transpose(1, 2)
        out: Tensor = self.o_proj(attended.reshape(batch, length, heads * head_dim))
        return out


class Gemma4Attention(Gemma4QueryAttention):
    """Attention with keys and values: keys are normalised and rotated, values only normalised, by no weight.

    Full layers of a model with `attention_k_eq_v` have no `v_proj`: the projected keys serve as values too.
    Parameters as in the checkpoint: those of `Gemma4QueryAttention`, `k_proj`, `k_norm` and, where there is
    one, `v_proj`.

    Args:
        config: the model.
        layer_type: sliding or full.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    def __init__(
        self,
        config: Gemma4Config,
        layer_type: LayerType,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(config, layer_type, device=device, dtype=dtype)
        width, bias = self.num_kv_heads * self.head_dim, config.attention_bias
        self.k_proj = DirectLinear(config.hidden_size, width, bias=bias, device=device, dtype=dtype)
        self.k_norm = Gemma4RMSNorm(self.head_dim, self.eps, device=device, dtype=dtype)
        shared = config.attention_k_eq_v and layer_type == "full_attention"
        self.v_proj = (
            None if shared else DirectLinear(config.hidden_size, width, bias=bias, device=device, dtype=dtype)
        )

    def forward(self, hidden: Tensor, inputs: AttentionInputs, cache: LayerCache | None) -> Tensor:
        """Stores the keys and values of S tokens and attends to all that the mask lets through.

        Args:
            hidden: [B, S, H], normalised.
            inputs: shared by all layers of this kind.
            cache: of this layer; None in a pass without a cache.

        Returns:
            [B, S, H].
        """
        projected = self._split_heads(self.k_proj(hidden))
        source = projected if self.v_proj is None else self._split_heads(self.v_proj(hidden))
        heads = torch.cat([self._queries(hidden), self.k_norm(projected)], dim=2)
        rotated = rotate(heads, inputs.rotation)
        queries = rotated.shape[2] - self.num_kv_heads
        query, keys = rotated.narrow(2, 0, queries), rotated.narrow(2, queries, self.num_kv_heads)
        return self._attend(query, *inputs.store(cache, keys, rms_norm(source, self.eps)), inputs.mask)
