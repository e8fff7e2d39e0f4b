from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.gemma4.configuration_gemma4 import Gemma4Config as HfConfig
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig as HfTextConfig

from moe_kernels.activation import Activation
from workbench.models.gemma4 import Gemma4Config, RopeParameters

REAL = {
    "vocab_size": 262_144,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "num_hidden_layers": 30,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "num_global_key_value_heads": 2,
    "head_dim": 256,
    "global_head_dim": 512,
    "attention_k_eq_v": True,
    "sliding_window": 1024,
    "max_position_embeddings": 262_144,
    "enable_moe_block": True,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
    "hidden_size_per_layer_input": 0,
    "final_logit_softcapping": 30.0,
    "use_bidirectional_attention": "vision",
}


def plain_text_config(**changes):
    """A text config as checkpoints hold it, with the heads of full layers by name."""
    fields = HfTextConfig(**REAL).to_dict()
    del fields["per_layer_config"]
    heads = {name: REAL[name] for name in ("global_head_dim", "num_global_key_value_heads")}
    return {**fields, **heads, **changes}


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


def test_preset_has_the_dimensions_of_the_real_model():
    assert Gemma4Config.from_hf(HfTextConfig(**REAL).to_dict()) == Gemma4Config.preset("26b-a4b")


def test_preset_has_five_sliding_layers_for_each_full_one():
    layers = Gemma4Config.preset("26b-a4b").layer_types
    assert layers == (("sliding_attention",) * 5 + ("full_attention",)) * 5


def test_tiny_preset_keeps_the_structure_of_the_real_one():
    tiny, real = Gemma4Config.preset("tiny"), Gemma4Config.preset("26b-a4b")
    assert tiny.hidden_size * tiny.num_experts * tiny.moe_intermediate_size < 100_000
    assert set(tiny.layer_types) == set(real.layer_types)
    assert (tiny.full_rope, tiny.hidden_activation) == (real.full_rope, real.hidden_activation)
    assert tiny.head_dim != tiny.global_head_dim
    assert tiny.num_key_value_heads != tiny.num_global_key_value_heads


def test_unknown_preset_is_refused_with_all_that_exist():
    with pytest.raises(ValueError, match="preset: must be one of '26b-a4b', 'tiny', got '31b'"):
        Gemma4Config.preset("31b")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_size_that_transformers_writes_is_read_back(data):
    draw = data.draw
    kv_heads, global_kv_heads = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    sizes = {
        "vocab_size": draw(st.integers(4, 9999)),
        "hidden_size": draw(st.integers(1, 999)),
        "intermediate_size": draw(st.integers(1, 999)),
        "num_hidden_layers": draw(st.integers(1, 14)),
        "num_attention_heads": kv_heads * global_kv_heads * draw(st.integers(1, 3)),
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw(st.integers(1, 99)),
        "attention_k_eq_v": draw(st.booleans()),
        "sliding_window": draw(st.integers(1, 999)),
        "max_position_embeddings": draw(st.integers(1, 9999)),
        "num_experts": draw(st.integers(8, 99)),
        "top_k_experts": draw(st.integers(1, 8)),
        "moe_intermediate_size": draw(st.integers(1, 999)),
        "hidden_size_per_layer_input": draw(st.integers(0, 9)),
        "final_logit_softcapping": draw(st.none() | st.floats(1, 99)),
        "rms_norm_eps": draw(st.floats(1e-8, 1e-3)),
    }
    heads = {
        "global_head_dim": 2 * draw(st.integers(1, 99)),
        "num_global_key_value_heads": draw(st.none() | st.just(global_kv_heads)),
    }
    activation = draw(st.sampled_from(["gelu_pytorch_tanh", "gelu", "silu"]))
    hf = HfTextConfig(**sizes, **heads, hidden_activation=activation)
    config = Gemma4Config.from_hf(hf.to_dict())

    assert {name: getattr(config, name) for name in sizes} == sizes
    assert config.hidden_activation is Activation.parse(activation)
    assert list(config.layer_types) == hf.layer_types
    full = hf.per_layer_config["full_attention"]
    assert (config.global_head_dim, config.num_global_key_value_heads) == (
        full.head_dim,
        full.num_key_value_heads,
    )
    named = without({**hf.to_dict(), **heads}, "per_layer_config")
    assert Gemma4Config.from_hf(named) == config
    nested = HfConfig(text_config=hf).to_dict()
    assert Gemma4Config.from_hf(json.loads(json.dumps(nested))) == config


def test_heads_of_full_layers_default_to_the_plain_ones_where_no_layer_differs():
    hf = HfTextConfig(**{**REAL, "global_head_dim": 256, "num_global_key_value_heads": 8})
    config = Gemma4Config.from_hf(hf.to_dict())
    assert hf.to_dict()["per_layer_config"] == {}
    assert (config.global_head_dim, config.num_global_key_value_heads) == (256, 8)


def test_layer_keys_may_be_padded_or_numbers():
    layers = ["sliding_attention"] * 5 + ["full_attention"]
    for keys in (("05", "11"), (5, 11)):
        fields = plain_text_config(
            num_hidden_layers=12,
            layer_types=layers * 2,
            per_layer_config={key: {"head_dim": 64} for key in keys},
        )
        config = Gemma4Config.from_hf(fields)
        assert (config.head_dim, config.global_head_dim, config.num_global_key_value_heads) == (256, 64, 8)


def test_unknown_fields_are_ignored():
    assert Gemma4Config.from_hf(plain_text_config(flux_capacitance=1.21)) == Gemma4Config.preset("26b-a4b")


def test_rope_of_each_kind_of_layer_is_read():
    config = Gemma4Config.from_hf(plain_text_config())
    assert config.sliding_rope == RopeParameters(rope_type="default", rope_theta=1e4)
    assert config.full_rope == RopeParameters(
        rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25
    )


def test_the_whole_model_says_whether_embeddings_are_tied():
    nested = {"text_config": plain_text_config(tie_word_embeddings=True), "tie_word_embeddings": False}
    assert not Gemma4Config.from_hf(nested).tie_word_embeddings
    nested["text_config"] = without(nested["text_config"], "tie_word_embeddings")
    assert not Gemma4Config.from_hf(nested).tie_word_embeddings


def test_fp32_logits_are_the_reader_s_choice():
    assert not Gemma4Config.from_hf(plain_text_config()).router_logits_fp32
    assert Gemma4Config.from_hf(plain_text_config(), router_logits_fp32=True).router_logits_fp32


@pytest.mark.parametrize(
    "name",
    [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "layer_types",
        "num_attention_heads",
        "num_key_value_heads",
        "num_global_key_value_heads",
        "head_dim",
        "global_head_dim",
        "attention_k_eq_v",
        "sliding_window",
        "rope_parameters",
        "max_position_embeddings",
        "num_experts",
        "top_k_experts",
        "moe_intermediate_size",
        "hidden_activation",
        "rms_norm_eps",
        "final_logit_softcapping",
        "tie_word_embeddings",
    ],
)
def test_missing_field_is_named(name):
    with pytest.raises(ValueError, match=rf"^{name}: missing"):
        Gemma4Config.from_hf(without(plain_text_config(), name))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("num_experts", None, "an integer of at least 1"),
        ("num_experts", "128", "an integer of at least 1"),
        ("num_experts", 0, "an integer of at least 1"),
        ("num_experts", 128.0, "an integer of at least 1"),
        ("hidden_size", True, "an integer of at least 1"),
        ("num_hidden_layers", -1, "an integer of at least 1"),
        ("head_dim", [256], "an integer of at least 1"),
        ("head_dim", 255, "even"),
        ("global_head_dim", "512", "an integer of at least 1"),
        ("num_key_value_heads", 5, r"divide num_attention_heads \(16\)"),
        ("num_global_key_value_heads", 3, r"divide num_attention_heads \(16\)"),
        ("top_k_experts", 129, r"1 to num_experts \(128\)"),
        ("rms_norm_eps", 0, "a finite number above 0"),
        ("rms_norm_eps", float("nan"), "a finite number above 0"),
        ("final_logit_softcapping", "30", "a finite number above 0"),
        ("tie_word_embeddings", 1, "true or false"),
        ("attention_k_eq_v", "yes", "true or false"),
        ("hidden_activation", "relu", "one of gelu, gelu_tanh, silu"),
        ("hidden_activation", "silu_no_mul", "an Activation of gelu, gelu_tanh, silu"),
        ("num_kv_shared_layers", 30, r"below num_hidden_layers \(30\)"),
        ("use_bidirectional_attention", "all", "one of None, 'vision'"),
        ("layer_types", "full_attention", r"a list of num_hidden_layers \(30\)"),
        ("layer_types", ["full_attention"] * 29, r"a list of num_hidden_layers \(30\)"),
        ("layer_types[29]", ["full_attention"] * 29 + ["sliding_attention"], "full_attention"),
        ("layer_types[1]", ["full_attention", "linear"] * 15, "one of 'sliding_attention', 'full_attention'"),
        ("rope_parameters", [], "a mapping"),
        ("per_layer_config", [], "a mapping"),
    ],
)
def test_wrong_field_is_named_with_what_is_allowed(name, value, allowed):
    field = name.partition("[")[0]
    with pytest.raises(ValueError, match=f"{allowed}") as error:
        Gemma4Config.from_hf(plain_text_config(**{field: value}))
    assert str(error.value).startswith(f"{name}: must")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"31": {}}, r"^per_layer_config\.31: must be a layer from 0 to 29"),
        ({"full": {}}, r"^per_layer_config\.full: must be a layer from 0 to 29"),
        ({"5": 512}, r"^per_layer_config\.5: must be a mapping, got int"),
        ({"5": {"head_dim": "512"}}, r"^per_layer_config\.5\.head_dim: must be an integer"),
        ({"5": {"head_dim": 512}}, r"^per_layer_config\.11: must be the same for every full_attention layer"),
        (
            {"5": {"num_experts": 4}},
            r"^per_layer_config\.5\.num_experts: only head_dim and num_key_value_heads",
        ),
    ],
)
def test_layers_that_differ_in_other_ways_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        Gemma4Config.from_hf(plain_text_config(per_layer_config=overrides))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_type": "yarn"}, "rope_type: must be one of 'default', 'proportional', got 'yarn'"),
        ({"rope_theta": -1.0}, "rope_theta: must be a finite number above 0"),
        (
            {"partial_rotary_factor": 1.5},
            "partial_rotary_factor: must be a finite number above 0 and up to 1",
        ),
    ],
)
def test_wrong_rope_is_named_with_its_layers(change, message):
    fields = plain_text_config()
    fields["rope_parameters"]["full_attention"] |= change
    with pytest.raises(ValueError, match=rf"^rope_parameters\.full_attention\.{message}"):
        Gemma4Config.from_hf(fields)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config: must be a mapping, got NoneType"),
        ({"text_config": "gemma"}, "text_config: must be a mapping, got str"),
        ({}, "num_hidden_layers: missing"),
        (
            HfTextConfig(enable_moe_block=True).to_dict(),
            "num_experts: must be an integer of at least 1, got None",
        ),
    ],
)
def test_what_is_no_config_of_such_a_model_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        Gemma4Config.from_hf(config)


def test_a_changed_copy_is_checked_again():
    config = Gemma4Config.preset("tiny")
    with pytest.raises(ValueError, match=r"top_k_experts: must be 1 to num_experts \(2\), got 4"):
        dataclasses.replace(config, num_experts=2)
