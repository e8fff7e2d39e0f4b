"""The three kinds of forward pass: what the attention of each sees, and where new keys and values go.

- `whole_pass`: a sequence from its start, without a cache.
- `chunk_pass`: the next columns of right-padded prompts, into the cache.
- `step_pass`: the next few tokens of each sequence at its own length, into the cache; static shapes, no host sync.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.models.gemma4.attention import AttentionInputs
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.kv_cache import LayerCache, StaticKVCache
from workbench.models.gemma4.layer_types import LayerType

Pass = Mapping[LayerType, AttentionInputs]
Rotations = Mapping[LayerType, Tensor]


def whole_pass(config: Gemma4Config, rotations: Rotations, length: int) -> Pass:
    """Every token sees itself and those before it, in sliding layers only those of the window.

    Args:
        config: the model.
        rotations: tables of at least `length` positions; their device and dtype are the pass's.
        length: S, tokens.
    """
    return {
        layer_type: AttentionInputs(
            rotation=table[None, :length, None].unbind(-2),
            mask=_additive(
                _local_mask(config, layer_type, length, table.device), config, layer_type, table.dtype
            ),
            store=_store_nothing,
        )
        for layer_type, table in rotations.items()
    }


def chunk_pass(
    config: Gemma4Config,
    cache: StaticKVCache,
    rotations: Rotations,
    lengths: Tensor,
    start: int,
    length: int,
) -> Pass:
    """Columns `start` to `start + length` of right-padded prompts, of which the earlier ones are in the cache.

    Args:
        config: the model.
        cache: filled up to `start` or each sequence's length, whichever is less.
        rotations: tables of at least `start + length` positions.
        lengths: int64 [B], tokens of each prompt; what follows is padding.
        start: first column.
        length: S, columns.
    """
    return {
        layer_type: (_ring_chunk if layer_type == "sliding_attention" else _full_chunk)(
            config, _slots(config, cache, layer_type), table, lengths, start, length
        )
        for layer_type, table in rotations.items()
    }


def step_pass(config: Gemma4Config, cache: StaticKVCache, rotations: Rotations, length: int) -> Pass:
    """The next `length` tokens of each sequence, from `cache.lengths` on.

    Args:
        config: the model.
        cache: holds each sequence up to its length; nothing beyond matters.
        rotations: tables of as many positions as the cache has.
        length: S, tokens of each sequence; sliding layers need a slack of at least S - 1.
    """
    positions = cache.lengths.unsqueeze(1) + cache.counted(length)
    return {
        layer_type: _step_inputs(config, cache, layer_type, table, positions)
        for layer_type, table in rotations.items()
    }


def _slots(config: Gemma4Config, cache: StaticKVCache, layer_type: LayerType) -> Tensor:
    """The numbers of a sequence's slots in a layer of this kind, int64 [slots]."""
    return cache.counted(cache.layers[config.layer_types.index(layer_type)].slots)


def _additive(visible: Tensor, config: Gemma4Config, layer_type: LayerType, dtype: torch.dtype) -> Tensor:
    """The mask [B or 1, S, T] of visible tokens, as attention adds it to scores, once for each query head."""
    groups = config.num_attention_heads // config.heads_of(layer_type)[1]
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    mask = mask.masked_fill_(~visible, float("-inf")).unsqueeze(1)
    # A single row is broadcast over the heads.
    return mask if visible.shape[1] == 1 else mask.repeat(1, 1, groups, 1)


def _local_mask(config: Gemma4Config, layer_type: LayerType, length: int, device: torch.device) -> Tensor:
    """[1, S, S]: which of these tokens see which others of them."""
    visible = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if layer_type == "sliding_attention":
        visible = visible.triu(1 - config.sliding_window)
    return visible[None]


def _store_nothing(_: LayerCache | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    return keys.transpose(1, 2), values.transpose(1, 2)


@dataclass(frozen=True, slots=True)
class _Append:
    """Writes a chunk to the slots of its columns. Padding is overwritten before anything can see it."""

    start: int
    end: int

    def __call__(self, cache: LayerCache | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        assert cache is not None
        cache.keys[:, self.start : self.end] = keys
        cache.values[:, self.start : self.end] = values
        keys, values = cache.by_head
        return keys[:, :, : self.end], values[:, :, : self.end]


def _full_chunk(
    config: Gemma4Config, slots: Tensor, table: Tensor, lengths: Tensor, start: int, length: int
) -> AttentionInputs:
    end = start + length
    visible = torch.ones(1, length, end, dtype=torch.bool, device=table.device).tril(start)
    return AttentionInputs(
        rotation=table[None, start:end, None].unbind(-2),
        mask=_additive(visible, config, "full_attention", table.dtype),
        store=_Append(start, end),
    )


@dataclass(frozen=True, slots=True)
class _Refill:
    """Brings a ring up to date after a chunk, which may be longer than the ring and ends in padding.

    Attributes:
        source: int64 [B, slots], the chunk's column that each slot takes.
        fresh: bool [B, slots, 1, 1], whether it takes one.
    """

    source: Tensor
    fresh: Tensor

    def __call__(self, cache: LayerCache | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        assert cache is not None
        seen = torch.cat([cache.keys, keys], dim=1), torch.cat([cache.values, values], dim=1)
        rows = torch.arange(keys.shape[0], device=keys.device)[:, None]
        cache.keys.copy_(torch.where(self.fresh, keys[rows, self.source], cache.keys))
        cache.values.copy_(torch.where(self.fresh, values[rows, self.source], cache.values))
        return seen[0].transpose(1, 2), seen[1].transpose(1, 2)


def _positions_in_ring(end: Tensor, slots: Tensor) -> Tensor:
    """[B, slots]: the last position below `end` [B] that each slot, by its number, takes; negative if there is none."""
    last = end.unsqueeze(1) - 1
    return last - (last - slots) % len(slots)


def _ring_chunk(
    config: Gemma4Config, slots: Tensor, table: Tensor, lengths: Tensor, start: int, length: int
) -> AttentionInputs:
    end = start + length
    past = _positions_in_ring(lengths.clamp(max=start), slots)[:, None]
    queries = torch.arange(start, end, device=table.device)[None, :, None]
    in_window = (past >= 0) & (past > queries - config.sliding_window)
    local = _local_mask(config, "sliding_attention", length, table.device).expand(len(lengths), -1, -1)
    held = _positions_in_ring(lengths.clamp(max=end), slots)
    return AttentionInputs(
        rotation=table[None, start:end, None].unbind(-2),
        mask=_additive(torch.cat([in_window, local], dim=-1), config, "sliding_attention", table.dtype),
        store=_Refill((held - start).clamp(0, length - 1), (held >= start)[..., None, None]),
    )


@dataclass(frozen=True, slots=True)
class _Scatter:
    """Writes each new token to a slot of its own; `slots` is int64 [B x S], into all sequences' slots."""

    slots: Tensor

    def __call__(self, cache: LayerCache | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        assert cache is not None
        assert cache.by_slot is not None
        held_keys, held_values = cache.by_slot
        held_keys.index_copy_(0, self.slots, keys.flatten(0, 1))
        held_values.index_copy_(0, self.slots, values.flatten(0, 1))
        return cache.by_head


def _step_inputs(
    config: Gemma4Config,
    cache: StaticKVCache,
    layer_type: LayerType,
    table: Tensor,
    positions: Tensor,
) -> AttentionInputs:
    slots, queries = _slots(config, cache, layer_type), positions.unsqueeze(-1)
    rows = cache.counted(cache.batch).unsqueeze(1) * len(slots)
    if layer_type == "sliding_attention":
        held = _positions_in_ring(positions.select(1, -1) + 1, slots).unsqueeze(1)
        visible = (held >= 0) & (held <= queries) & (held > queries - config.sliding_window)
        targets = positions % len(slots)
    else:
        visible = slots <= queries
        targets = positions
    return AttentionInputs(
        rotation=table[positions].unsqueeze(2).unbind(-2),
        mask=_additive(visible, config, layer_type, table.dtype),
        store=_Scatter((rows + targets).flatten()),
    )


def draft_pass(
    config: Gemma4Config,
    rotations: Rotations,
    held: Mapping[LayerType, Tensor],
    known: Tensor,
    positions: Tensor,
) -> Pass:
    """One token of each sequence, which reads what another model stored and stores nothing.

    In sliding layers it sees one stored token more than the window has, as the assistant of transformers does.

    Args:
        config: of the model that reads.
        rotations: its tables.
        held: int64 [B, slots] by type of layer, the position of the token that each slot holds.
        known: int [B], tokens of each sequence that are stored and stand.
        positions: int [B], of the queries.
    """
    return {
        layer_type: AttentionInputs(
            rotation=table[positions][:, None, None].unbind(-2),
            mask=_additive(
                _stored(config, layer_type, held[layer_type], known[:, None]), config, layer_type, table.dtype
            ),
            store=_store_nothing,
        )
        for layer_type, table in rotations.items()
    }


def _stored(config: Gemma4Config, layer_type: LayerType, held: Tensor, known: Tensor) -> Tensor:
    """[B, 1, slots]: which slots hold a token that the query may see."""
    visible = (held >= 0) & (held < known)
    if layer_type == "sliding_attention":
        visible = visible & (held >= known - 1 - config.sliding_window)
    return visible[:, None]


def positions_held(config: Gemma4Config, cache: StaticKVCache) -> Mapping[LayerType, Tensor]:
    """The position of the token in each slot, int64 [B, slots] by type of layer; negative where there is none.

    In sliding layers, tokens written ahead and taken back may have replaced those that were said here, but only
    such as the slack puts out of sight.
    """
    held = dict[LayerType, Tensor]()
    for layer_type in dict.fromkeys(config.layer_types):
        slots = _slots(config, cache, layer_type)
        if layer_type == "sliding_attention":
            held[layer_type] = _positions_in_ring(cache.lengths, slots)
        else:
            held[layer_type] = slots.expand(cache.batch, -1)
    return held
