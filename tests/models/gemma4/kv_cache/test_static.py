from __future__ import annotations

import dataclasses

import pytest
import torch

from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.models.gemma4.kv_cache import (
    FullAttentionSpec,
    MLAAttentionSpec,
    SlidingWindowSpec,
    StaticKVCache,
    layer_specs,
)

TINY = Gemma4Config.preset("tiny")
COMMON = {"block_size": 4, "num_kv_heads": 2, "head_size": 8, "dtype": torch.float32}
FULL = FullAttentionSpec(**COMMON)


def test_a_layer_holds_whole_pages_and_a_sliding_one_no_more_than_its_window():
    sliding = SlidingWindowSpec(**COMMON, sliding_window=6, slack=3)
    cache = StaticKVCache([FULL, sliding], batch=3, max_tokens=21)
    assert [list(layer.keys.shape) for layer in cache.layers] == [[3, 24, 2, 8], [3, 12, 2, 8]]
    assert all(layer.keys.shape == layer.values.shape for layer in cache.layers)


def test_the_bytes_of_a_cache_are_those_of_its_tensors():
    specs = layer_specs(TINY, torch.bfloat16)
    cache = StaticKVCache(specs, batch=2, max_tokens=100)
    assert cache.nbytes == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def test_a_step_writes_where_the_cache_was_allocated():
    model = Gemma4ForCausalLM.random(TINY)
    cache = model.new_cache(2, 40)
    addresses = [layer.keys.data_ptr() for layer in cache.layers]
    model.prefill(torch.ones(2, 5, dtype=torch.int64), cache=cache)
    model.decode(torch.ones(2, 1, dtype=torch.int64), cache)
    assert [layer.keys.data_ptr() for layer in cache.layers] == addresses
    assert cache.lengths.tolist() == [6, 6]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            MLAAttentionSpec(**COMMON),
            r"^specs\[1\]: a static cache holds FullAttentionSpec or SlidingWindowSpec, got MLAAttentionSpec",
        ),
        (
            dataclasses.replace(FULL, cache_dtype_str="fp8"),
            r"^specs\[1\]\.cache_dtype_str: a static cache holds only 'auto', got 'fp8'",
        ),
        (dataclasses.replace(FULL, sliding_window=4), r"^specs\[1\]\.sliding_window: .* only None, got 4"),
    ],
)
def test_what_a_static_cache_cannot_hold_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        StaticKVCache([FULL, spec], batch=1, max_tokens=4)


@pytest.mark.parametrize("argument", ["batch", "max_tokens"])
def test_sizes_must_be_positive(argument):
    with pytest.raises(ValueError, match=f"^{argument}: must be an integer of at least 1, got 0"):
        StaticKVCache([FULL], **{"batch": 1, "max_tokens": 1, argument: 0})
