"""Models by name: the real one, and one of the same structure at a size for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_kernels.activation import Activation
from workbench.models.gemma4.layer_types import LayerType, RopeParameters

_ATTENTION_PATTERN: tuple[LayerType, ...] = ("sliding_attention",) * 5 + ("full_attention",)
_COMMON: Mapping[str, Any] = {
    "attention_k_eq_v": True,
    "sliding_rope": RopeParameters(rope_type="default", rope_theta=1e4),
    "full_rope": RopeParameters(rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25),
    "hidden_activation": Activation.gelu_tanh,
    "rms_norm_eps": 1e-6,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "26b-a4b": {
        **_COMMON,
        "vocab_size": 262_144,
        "hidden_size": 2816,
        "intermediate_size": 2112,
        "num_hidden_layers": 30,
        "layer_types": _ATTENTION_PATTERN * 5,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 2,
        "head_dim": 256,
        "global_head_dim": 512,
        "sliding_window": 1024,
        "max_position_embeddings": 262_144,
        "num_experts": 128,
        "top_k_experts": 8,
        "moe_intermediate_size": 704,
    },
    "tiny": {
        **_COMMON,
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 6,
        "layer_types": _ATTENTION_PATTERN,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_global_key_value_heads": 1,
        "head_dim": 16,
        "global_head_dim": 32,
        "sliding_window": 16,
        "max_position_embeddings": 512,
        "num_experts": 16,
        "top_k_experts": 4,
        "moe_intermediate_size": 32,
    },
}
