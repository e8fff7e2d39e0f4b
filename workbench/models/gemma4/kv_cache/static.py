"""The static cache: tensors of fixed size and address, allocated once from the layers' specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.models.gemma4.checks import check_integer
from workbench.models.gemma4.kv_cache.specs import FullAttentionSpec, KVCacheSpec, SlidingWindowSpec
from workbench.models.gemma4.layer_types import LayerType


@dataclass(frozen=True, slots=True)
class LayerCache:
    """Keys and values of one layer.

    The token at position p is in slot p of a layer that keeps all, and in slot p mod slots of a sliding one.

    Attributes:
        keys: [B, slots, KV heads, head size].
        values: likewise.
        by_head: views of both as attention reads them, [B, KV heads, slots, head size].
        by_slot: views of both as a step writes them, [B x slots, KV heads, head size]; None where there is none.
    """

    keys: Tensor
    values: Tensor
    by_head: tuple[Tensor, Tensor] = field(init=False, repr=False)
    by_slot: tuple[Tensor, Tensor] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        both = (self.keys, self.values)
        object.__setattr__(self, "by_head", tuple(held.transpose(1, 2) for held in both))
        flat = all(held.is_contiguous() for held in both)
        object.__setattr__(self, "by_slot", tuple(held.flatten(0, 1) for held in both) if flat else None)

    @property
    def slots(self) -> int:
        """Slots of a sequence."""
        return self.keys.shape[1]


class StaticKVCache:
    """Keys and values of a batch of sequences, each with its own length.

    Only the device knows the lengths, so no step waits for them. What lies at or beyond a sequence's length is
    never read: rolling back is setting the length back.

    Args:
        specs: one for each layer, full or sliding-window ones.
        batch: B, sequences.
        max_tokens: positions of a sequence, those written ahead included.
        rotations: of rotary embeddings, for as many positions, by type of layer; kept beside the cache, since
            a captured graph reads both at fixed addresses.
        device: where the tensors live.

    Attributes:
        lengths: int64 [B], tokens of each sequence that are in the cache.

    Raises:
        ValueError: names the argument that is impossible, or a spec that this cache cannot hold.
    """

    def __init__(
        self,
        specs: Sequence[KVCacheSpec],
        *,
        batch: int,
        max_tokens: int,
        rotations: Mapping[LayerType, Tensor] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        check_integer("batch", batch, at_least=1)
        check_integer("max_tokens", max_tokens, at_least=1)
        self.specs, self.batch, self.max_tokens = tuple(specs), batch, max_tokens
        self.rotations = rotations or {}
        self.layers = tuple(self._allocate(layer, spec, device) for layer, spec in enumerate(self.specs))
        self.lengths = torch.zeros(batch, dtype=torch.int64, device=device)
        slots = (layer.slots for layer in self.layers)
        self._numbers = torch.arange(max(batch, max_tokens, *slots), device=device)

    def _allocate(self, layer: int, spec: KVCacheSpec, device: torch.device | str | None) -> LayerCache:
        _check_holdable(layer, spec)
        shape = (self.batch, spec.slots_for(self.max_tokens), spec.num_kv_heads, spec.head_size)
        # Zeros, since even a masked NaN would spoil what it is multiplied into.
        keys, values = (torch.zeros(shape, dtype=spec.dtype, device=device) for _ in range(2))
        return LayerCache(keys, values)

    def counted(self, count: int) -> Tensor:
        """0, 1, 2, ... as int64 [count], of sequences, tokens or slots; made once, not in each step."""
        return self._numbers.narrow(0, 0, count)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(self.batch * spec.bytes_for(self.max_tokens) for spec in self.specs)


def _check_holdable(layer: int, spec: KVCacheSpec) -> None:
    name = f"specs[{layer}]"
    if type(spec) not in (FullAttentionSpec, SlidingWindowSpec):
        kinds = "FullAttentionSpec or SlidingWindowSpec"
        raise ValueError(f"{name}: a static cache holds {kinds}, got {type(spec).__name__}")
    wanted = {"cache_dtype_str": "auto", "page_size_padded": None}
    if type(spec) is FullAttentionSpec:
        wanted |= {"sliding_window": None, "attention_chunk_size": None, "head_size_v": None}
    for key, allowed in wanted.items():
        if getattr(spec, key) != allowed:
            raise ValueError(
                f"{name}.{key}: a static cache holds only {allowed!r}, got {getattr(spec, key)!r}"
            )
