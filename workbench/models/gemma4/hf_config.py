"""Reads a Hugging Face `config.json` dict into the fields of `Gemma4Config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_kernels.activation import Activation
from workbench.models.gemma4.checks import check_boolean, check_choice, check_integer, check_mapping
from workbench.models.gemma4.layer_types import LAYER_TYPES, RopeParameters, check_layer_types

Fields = Mapping[str, Any]

_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "attention_k_eq_v",
    "sliding_window",
    "max_position_embeddings",
    "rms_norm_eps",
    "final_logit_softcapping",
)
_EXPERT_FIELDS = ("num_experts", "top_k_experts", "moe_intermediate_size")
# Features that a config which does not name them does not use.
_OFF_UNLESS_NAMED = (
    "attention_bias",
    "hidden_size_per_layer_input",
    "num_kv_shared_layers",
    "use_double_wide_mlp",
)
_HEAD_FIELDS = ("head_dim", "num_key_value_heads")


def read_fields(config: Fields) -> dict[str, Any]:
    """Reads the fields of `Gemma4Config`, all but the options that no checkpoint has.

    Args:
        config: a whole model's config, with `text_config`, or a text model's.

    Raises:
        ValueError: names the field that is missing or of the wrong type.
    """
    whole = check_mapping("config", config)
    text = check_mapping("text_config", whole["text_config"]) if "text_config" in whole else whole
    check_choice("use_bidirectional_attention", text.get("use_bidirectional_attention"), (None, "vision"))
    check_integer("num_hidden_layers", _require(text, "num_hidden_layers"), at_least=1)
    layer_types = _require(text, "layer_types")
    check_layer_types(layer_types, text["num_hidden_layers"])
    return {
        **{name: _require(text, name) for name in _REQUIRED},
        **{name: text[name] for name in _OFF_UNLESS_NAMED if name in text},
        **_read_experts(text),
        **_read_heads(text),
        **_read_ropes(text),
        "layer_types": tuple(layer_types),
        "hidden_activation": _read_activation(text),
        # The whole model's own flag decides, as in transformers, where it has one.
        "tie_word_embeddings": _require({**text, **whole}, "tie_word_embeddings"),
    }


def _require(fields: Fields, name: str, section: str = "") -> Any:
    if name not in fields:
        raise ValueError(f"{section}{name}: missing")
    return fields[name]


def _read_activation(text: Fields) -> Activation:
    name = _require(text, "hidden_activation")
    try:
        return Activation.parse(name)
    except ValueError as error:
        raise ValueError(f"hidden_{error}") from None


def _read_ropes(text: Fields) -> dict[str, RopeParameters]:
    ropes = check_mapping("rope_parameters", _require(text, "rope_parameters"))
    return {
        f"{layer_type.removesuffix('_attention')}_rope": _read_rope(ropes, layer_type)
        for layer_type in LAYER_TYPES
    }


def _read_rope(ropes: Fields, layer_type: str) -> RopeParameters:
    rope = check_mapping(
        f"rope_parameters.{layer_type}", _require(ropes, layer_type, section="rope_parameters.")
    )
    section = f"rope_parameters.{layer_type}."
    options = {name: rope[name] for name in ("partial_rotary_factor", "factor") if rope.get(name) is not None}
    required = {name: _require(rope, name, section) for name in ("rope_type", "rope_theta")}
    try:
        return RopeParameters(**required, **options)
    except ValueError as error:
        raise ValueError(f"{section}{error}") from None


def _read_experts(text: Fields) -> dict[str, Any]:
    """The experts' sizes; a dense model, which says that it is one, may leave them out or have None."""
    enabled = text.get("enable_moe_block", True)
    check_boolean("enable_moe_block", enabled)
    if enabled:
        return {name: _require(text, name) for name in _EXPERT_FIELDS}
    sizes = {name: text.get(name) for name in _EXPERT_FIELDS}
    return {"enable_moe_block": False, **{name: 0 if size is None else size for name, size in sizes.items()}}


def _read_heads(text: Fields) -> dict[str, int]:
    for name in _HEAD_FIELDS:
        check_integer(name, _require(text, name), at_least=1)
    if text.get("per_layer_config") is None:
        return {**{name: text[name] for name in _HEAD_FIELDS}, **_named_global_heads(text)}
    sliding, full = (_heads_of_type(text, layer_type) for layer_type in LAYER_TYPES)
    return {
        **sliding,
        "global_head_dim": full["head_dim"],
        "num_global_key_value_heads": full["num_key_value_heads"],
    }


def _named_global_heads(text: Fields) -> dict[str, int]:
    if "global_head_dim" not in text:
        raise ValueError("global_head_dim: missing, and so is per_layer_config, which may hold it instead")
    check_boolean("attention_k_eq_v", _require(text, "attention_k_eq_v"))
    # Without shared keys and values, transformers and vLLM ignore the full layers' own number of heads.
    own_heads = _require(text, "num_global_key_value_heads") if text["attention_k_eq_v"] else None
    heads = text["num_key_value_heads"] if own_heads is None else own_heads
    return {"global_head_dim": text["global_head_dim"], "num_global_key_value_heads": heads}


def _heads_of_type(text: Fields, layer_type: str) -> dict[str, int]:
    """The head fields that all layers of this type have in common."""
    overrides = _overrides_by_layer(text)
    plain = {name: text[name] for name in _HEAD_FIELDS}
    layers = [layer for layer, kind in enumerate(text["layer_types"]) if kind == layer_type]
    heads = [plain | overrides.get(layer, {}) for layer in layers]
    for layer, found in zip(layers, heads, strict=True):
        if found != heads[0]:
            raise ValueError(
                f"per_layer_config.{layer}: must be the same for every {layer_type} layer, got {found}"
            )
    return heads[0] if heads else plain


def _overrides_by_layer(text: Fields) -> dict[int, dict[str, int]]:
    overrides = check_mapping("per_layer_config", text["per_layer_config"])
    return {
        _layer_index(key, text["num_hidden_layers"]): _head_overrides(
            text, key, check_mapping(_section(key), fields)
        )
        for key, fields in overrides.items()
    }


def _section(key: Any) -> str:
    return f"per_layer_config.{key}"


def _layer_index(key: Any, num_layers: int) -> int:
    layer = int(key) if isinstance(key, str) and key.isdecimal() else key
    if type(layer) is not int or not 0 <= layer < num_layers:
        raise ValueError(f"{_section(key)}: must be a layer from 0 to {num_layers - 1}")
    return layer


def _head_overrides(text: Fields, key: Any, fields: Fields) -> dict[str, int]:
    heads = dict[str, int]()
    for name, value in fields.items():
        if name in _HEAD_FIELDS:
            check_integer(f"{_section(key)}.{name}", value, at_least=1)
            heads[name] = value
        elif name not in text or value != text[name]:
            raise ValueError(
                f"{_section(key)}.{name}: only {' and '.join(_HEAD_FIELDS)} may differ between layers"
            )
    return heads
