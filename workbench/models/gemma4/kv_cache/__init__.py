"""What layers keep of past tokens: specs, how they merge, and the static cache built from them."""

from __future__ import annotations

from workbench.models.gemma4.kv_cache.merge import (
    MERGED_BY_ANY,
    MERGED_BY_EQUALITY,
    MERGED_BY_THE_ONE_SET,
    SpecMismatchError,
    merge_specs,
)
from workbench.models.gemma4.kv_cache.specs import (
    CACHE_DTYPES,
    FullAttentionSpec,
    KVCacheSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
    layer_specs,
)
from workbench.models.gemma4.kv_cache.static import LayerCache, StaticKVCache

__all__ = [
    "CACHE_DTYPES",
    "MERGED_BY_ANY",
    "MERGED_BY_EQUALITY",
    "MERGED_BY_THE_ONE_SET",
    "FullAttentionSpec",
    "KVCacheSpec",
    "LayerCache",
    "MLAAttentionSpec",
    "SinkFullAttentionSpec",
    "SlidingWindowSpec",
    "SpecMismatchError",
    "StaticKVCache",
    "layer_specs",
    "merge_specs",
]
