"""What a layer keeps of past tokens, as frozen specs: enough to size, share and allocate its cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import torch

from workbench.models.gemma4.checks import check_choice, check_integer
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.kv_cache.merge import MERGED_BY_THE_ONE_SET, SpecMismatchError, merge_specs
from workbench.models.gemma4.layer_types import LayerType

# What `cache_dtype_str` may say, in vLLM's words; `auto` keeps the dtype of the model.
CACHE_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_ds_mla")


@dataclass(frozen=True, slots=True, kw_only=True)
class KVCacheSpec:
    """What all kinds of layers have: pages of tokens, in some dtype.

    Attributes:
        block_size: tokens of a page.
        head_size: elements of a head's key.
        dtype: of the elements as stored.
        cache_dtype_str: what the user asked to store, which decides how a kernel reads `dtype`.
        page_size_padded: bytes of a page where it is larger than its content, or None.

    Raises:
        ValueError: names the field that is impossible and what is allowed.
    """

    block_size: int
    num_kv_heads: int
    head_size: int
    dtype: torch.dtype
    cache_dtype_str: str = "auto"
    page_size_padded: int | None = None

    def __post_init__(self) -> None:
        for name in ("block_size", "num_kv_heads", "head_size"):
            check_integer(name, getattr(self, name), at_least=1)
        check_choice("cache_dtype_str", self.cache_dtype_str, CACHE_DTYPES)
        if self.page_size_padded is not None:
            check_integer("page_size_padded", self.page_size_padded, at_least=self.content_size_bytes)

    @property
    def elements_per_token(self) -> int:
        """Elements that one token takes: a key and a value for each head."""
        return 2 * self.num_kv_heads * self.head_size

    @property
    def content_size_bytes(self) -> int:
        """Bytes of a page that hold something."""
        return self.block_size * self.elements_per_token * self.dtype.itemsize

    @property
    def page_size_bytes(self) -> int:
        """Bytes of a page, padding included."""
        return self.page_size_padded or self.content_size_bytes

    def slots_for(self, tokens: int) -> int:
        """Slots, a whole number of pages, that a sequence of so many tokens needs."""
        return -(-tokens // self.block_size) * self.block_size

    def bytes_for(self, tokens: int) -> int:
        """Bytes that a sequence of so many tokens needs."""
        return self.slots_for(tokens) // self.block_size * self.page_size_bytes

    @classmethod
    def merge(cls, specs: Sequence[Self]) -> Self:
        """One spec for layers that share a cache, with every field carried over.

        Args:
            specs: one or more specs of one class, which is this one or derived from it.

        Raises:
            SpecMismatchError: they are no such specs, or a field differs; names each with its values.
        """
        for spec in specs:
            if not isinstance(spec, cls):
                raise SpecMismatchError(f"specs: must be {cls.__name__}, got {type(spec).__name__}")
        return merge_specs(specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullAttentionSpec(KVCacheSpec):
    """A layer that keeps every token.

    Attributes:
        head_size_v: elements of a head's value; None where they are as many as the key's.
        sliding_window: tokens that the layer sees although all are kept; None for all.
        attention_chunk_size: tokens of a chunk within which the layer sees; None for no chunks.
    """

    head_size_v: int | None = None
    sliding_window: int | None = field(default=None, metadata=MERGED_BY_THE_ONE_SET)
    attention_chunk_size: int | None = field(default=None, metadata=MERGED_BY_THE_ONE_SET)

    def __post_init__(self) -> None:
        # Slotted dataclasses are made anew, so `super()` without arguments names a class that is gone.
        KVCacheSpec.__post_init__(self)
        for name in ("head_size_v", "sliding_window", "attention_chunk_size"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), at_least=1)
        if self.sliding_window is not None and self.attention_chunk_size is not None:
            raise ValueError(
                f"sliding_window: must be None where attention_chunk_size is set "
                f"({self.attention_chunk_size}), got {self.sliding_window}"
            )

    @property
    def elements_per_token(self) -> int:
        """Elements that one token takes; values may be of another width than keys."""
        return self.num_kv_heads * (self.head_size + (self.head_size_v or self.head_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingWindowSpec(KVCacheSpec):
    """A layer that keeps the last tokens.

    Attributes:
        sliding_window: tokens that a query sees, its own included.
        slack: further tokens kept, so that as many can be written ahead and taken back.
    """

    sliding_window: int
    slack: int = 0

    def __post_init__(self) -> None:
        KVCacheSpec.__post_init__(self)
        check_integer("sliding_window", self.sliding_window, at_least=1)
        check_integer("slack", self.slack, at_least=0)

    def slots_for(self, tokens: int) -> int:
        """Slots, a whole number of pages: those of the window and the slack at most."""
        return KVCacheSpec.slots_for(self, min(tokens, self.sliding_window + self.slack))


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFullAttentionSpec(FullAttentionSpec):
    """A layer that keeps every token and always sees the first ones (https://arxiv.org/abs/2309.17453).

    Attributes:
        sink_len: tokens at the start that stay visible.
    """

    sink_len: int

    def __post_init__(self) -> None:
        FullAttentionSpec.__post_init__(self)
        check_integer("sink_len", self.sink_len, at_least=1)

    def slots_for(self, tokens: int) -> int:
        """Slots, a whole number of pages; the sink has its own, apart from the sequence."""
        return KVCacheSpec.slots_for(self, tokens) + KVCacheSpec.slots_for(self, self.sink_len)


@dataclass(frozen=True, slots=True, kw_only=True)
class MLAAttentionSpec(FullAttentionSpec):
    """A layer that keeps one latent a token, keys and values in one (https://arxiv.org/abs/2405.04434).

    Attributes:
        compress_ratio: tokens that share one entry.
    """

    compress_ratio: int = 1

    def __post_init__(self) -> None:
        FullAttentionSpec.__post_init__(self)
        check_integer("compress_ratio", self.compress_ratio, at_least=1)
        if self.block_size % self.compress_ratio:
            raise ValueError(
                f"block_size: must be a multiple of compress_ratio ({self.compress_ratio}), "
                f"got {self.block_size}"
            )

    @property
    def elements_per_token(self) -> int:
        """Elements of one latent: there is no value beside it."""
        return self.num_kv_heads * self.head_size

    @property
    def content_size_bytes(self) -> int:
        """Bytes of a page that hold something; `fp8_ds_mla` stores 656 bytes an entry, scales included."""
        entries = self.block_size // self.compress_ratio
        if self.cache_dtype_str == "fp8_ds_mla":
            return entries * _FP8_DS_MLA_ENTRY_BYTES
        return entries * self.elements_per_token * self.dtype.itemsize


# 512 fp8 elements of the latent, 4 fp32 scales and 64 bf16 elements of the rotated key, as FlashMLA reads them.
_FP8_DS_MLA_ENTRY_BYTES = 512 + 4 * 4 + 64 * 2


def layer_specs(
    config: Gemma4Config, dtype: torch.dtype, *, block_size: int = 16, slack: int = 0
) -> tuple[KVCacheSpec, ...]:
    """The spec of each layer of a model.

    Args:
        config: the model.
        dtype: of keys and values.
        block_size: tokens of a page.
        slack: of sliding layers; see `SlidingWindowSpec`.
    """
    return tuple(
        _layer_spec(config, layer_type, dtype, block_size, slack) for layer_type in config.layer_types
    )


def _layer_spec(
    config: Gemma4Config, layer_type: LayerType, dtype: torch.dtype, block_size: int, slack: int
) -> KVCacheSpec:
    head_size, num_kv_heads = config.heads_of(layer_type)
    if layer_type == "full_attention":
        return FullAttentionSpec(
            block_size=block_size, num_kv_heads=num_kv_heads, head_size=head_size, dtype=dtype
        )
    return SlidingWindowSpec(
        block_size=block_size,
        num_kv_heads=num_kv_heads,
        head_size=head_size,
        dtype=dtype,
        sliding_window=config.sliding_window,
        slack=slack,
    )
