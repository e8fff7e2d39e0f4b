from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.models.gemma4 import Gemma4Config
from workbench.models.gemma4.kv_cache import (
    MERGED_BY_ANY,
    FullAttentionSpec,
    KVCacheSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
    SpecMismatchError,
    layer_specs,
    merge_specs,
)

COMMON = {"block_size": 16, "num_kv_heads": 2, "head_size": 64, "dtype": torch.bfloat16}
SPECS = [
    FullAttentionSpec(**COMMON),
    SlidingWindowSpec(**COMMON, sliding_window=128),
    SinkFullAttentionSpec(**COMMON, sink_len=4),
    MLAAttentionSpec(**{**COMMON, "num_kv_heads": 1, "head_size": 576}),
]
OTHER = {
    "block_size": 32,
    "num_kv_heads": 4,
    "head_size": 128,
    "dtype": torch.float16,
    "cache_dtype_str": "fp8",
    "page_size_padded": 2**20,
    "head_size_v": 32,
    "sliding_window": 256,
    "attention_chunk_size": 512,
    "sink_len": 8,
    "slack": 3,
    "compress_ratio": 2,
}
names = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)


@names
@given(data=st.data())
def test_merging_equal_specs_carries_every_field(spec, data):
    changes = {
        field.name: OTHER[field.name]
        for field in dataclasses.fields(spec)
        if field.name != "attention_chunk_size" and data.draw(st.booleans())
    }
    changed = dataclasses.replace(spec, **changes)
    merged = type(spec).merge([changed, dataclasses.replace(changed), changed])
    assert merged == changed
    assert type(merged) is type(spec)


@names
def test_every_field_that_differs_is_named_with_both_values(spec):
    for field in dataclasses.fields(spec):
        if field.name in ("sliding_window", "attention_chunk_size") and getattr(spec, field.name) is None:
            continue
        other = dataclasses.replace(spec, **{field.name: OTHER[field.name]})
        with pytest.raises(SpecMismatchError) as error:
            type(spec).merge([spec, other])
        ours, theirs = getattr(spec, field.name), OTHER[field.name]
        assert (
            str(error.value) == f"{type(spec).__name__} specs differ: {field.name}: {ours!r} and {theirs!r}"
        )


def test_all_fields_that_differ_are_named_at_once():
    other = dataclasses.replace(SPECS[0], num_kv_heads=4, cache_dtype_str="fp8")
    with pytest.raises(SpecMismatchError, match=r"num_kv_heads: 2 and 4; cache_dtype_str: 'auto' and 'fp8'$"):
        FullAttentionSpec.merge([SPECS[0], other])


def test_a_window_that_one_layer_has_is_the_window_of_all():
    plain, windowed = SPECS[0], dataclasses.replace(SPECS[0], sliding_window=9)
    assert FullAttentionSpec.merge([plain, windowed, plain]).sliding_window == 9
    with pytest.raises(SpecMismatchError, match="sliding_window: None and 9 and 8"):
        FullAttentionSpec.merge([plain, windowed, dataclasses.replace(plain, sliding_window=8)])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpecWithMore(FullAttentionSpec):
    """What someone may add one day, knowing nothing of `merge`."""

    scale_format: str = "none"
    non_causal: bool = dataclasses.field(default=False, metadata=MERGED_BY_ANY)
    bytes_of_scales: int = dataclasses.field(default=0, init=False)


def test_a_field_that_was_added_is_carried_over():
    spec = SpecWithMore(**COMMON, scale_format="ue8m0")
    object.__setattr__(spec, "bytes_of_scales", 4)
    merged = FullAttentionSpec.merge([spec, spec])
    assert type(merged) is SpecWithMore
    assert (merged.scale_format, merged.bytes_of_scales) == ("ue8m0", 4)


def test_a_field_that_was_added_is_complained_about():
    specs = [SpecWithMore(**COMMON, scale_format=name) for name in ("ue8m0", "none")]
    with pytest.raises(SpecMismatchError, match="scale_format: 'ue8m0' and 'none'"):
        SpecWithMore.merge(specs)


def test_a_field_that_was_added_may_say_how_it_merges():
    specs = [SpecWithMore(**COMMON, non_causal=value) for value in (False, True)]
    assert SpecWithMore.merge(specs).non_causal is True


def test_specs_of_several_kinds_do_not_merge():
    with pytest.raises(SpecMismatchError, match="must be of one class, got FullAttentionSpec and SinkFull"):
        merge_specs([SPECS[0], SPECS[2]])
    with pytest.raises(SpecMismatchError, match="must be SlidingWindowSpec, got FullAttentionSpec"):
        SlidingWindowSpec.merge([SPECS[1], SPECS[0]])
    with pytest.raises(SpecMismatchError, match="must be at least one"):
        KVCacheSpec.merge([])


@pytest.mark.parametrize(
    ("spec", "page", "bytes_of_1000"),
    [
        (SPECS[0], 16 * 2 * 2 * 64 * 2, 63 * 8192),
        (SPECS[1], 8192, 8 * 8192),
        (SPECS[2], 8192, 64 * 8192),
        (SPECS[3], 16 * 576 * 2, 63 * 16 * 576 * 2),
        (dataclasses.replace(SPECS[0], head_size_v=32), 16 * 2 * (64 + 32) * 2, 63 * 16 * 2 * 96 * 2),
        (dataclasses.replace(SPECS[0], page_size_padded=9000), 9000, 63 * 9000),
        (dataclasses.replace(SPECS[1], slack=1), 8192, 9 * 8192),
        (dataclasses.replace(SPECS[3], compress_ratio=4), 4 * 576 * 2, 63 * 4 * 576 * 2),
        (dataclasses.replace(SPECS[3], cache_dtype_str="fp8_ds_mla"), 16 * 656, 63 * 16 * 656),
    ],
)
def test_pages_have_the_size_of_what_they_hold(spec, page, bytes_of_1000):
    assert (spec.page_size_bytes, spec.bytes_for(1000)) == (page, bytes_of_1000)


def test_layers_of_the_real_model_differ_by_kind():
    specs = layer_specs(Gemma4Config.preset("26b-a4b"), torch.bfloat16, block_size=1)
    sliding = SlidingWindowSpec.merge([spec for spec in specs if isinstance(spec, SlidingWindowSpec)])
    full = FullAttentionSpec.merge([spec for spec in specs if isinstance(spec, FullAttentionSpec)])
    assert (sliding.page_size_bytes, full.page_size_bytes) == (8192, 4096)
    assert (sliding.bytes_for(9000), full.bytes_for(9000)) == (1024 * 8192, 9000 * 4096)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_size": 0}, "^block_size: must be an integer of at least 1, got 0"),
        ({"cache_dtype_str": "int3"}, "^cache_dtype_str: must be one of 'auto'"),
        ({"page_size_padded": 8191}, "^page_size_padded: must be an integer of at least 8192, got 8191"),
        (
            {"sliding_window": 4, "attention_chunk_size": 4},
            r"^sliding_window: must be None where attention_chunk_size is set \(4\), got 4",
        ),
    ],
)
def test_an_impossible_field_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPECS[0], **change)
