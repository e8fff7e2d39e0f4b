"""The dimensions and options of a Gemma 4 text model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from moe_kernels.activation import Activation
from workbench.models.gemma4.checks import check_boolean, check_choice, check_integer, check_positive_number
from workbench.models.gemma4.hf_config import read_fields
from workbench.models.gemma4.layer_types import LayerType, RopeParameters, check_layer_types
from workbench.models.gemma4.presets import PRESETS

Preset = Literal["26b-a4b", "tiny"]

_POSITIVE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "num_global_key_value_heads",
    "head_dim",
    "global_head_dim",
    "sliding_window",
    "max_position_embeddings",
)
_EXPERT_SIZES = ("num_experts", "top_k_experts", "moe_intermediate_size")
_COUNTS = ("hidden_size_per_layer_input", "num_kv_shared_layers")
_FLAGS = (
    "attention_k_eq_v",
    "attention_bias",
    "tie_word_embeddings",
    "use_double_wide_mlp",
    "router_logits_fp32",
    "enable_moe_block",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma4Config:
    """A Gemma 4 text model; names as in Hugging Face's `config.json` where it has one.

    Attributes:
        vocab_size: V, tokens in the vocabulary.
        hidden_size: H, width of the residual stream.
        intermediate_size: width of the dense MLP that runs beside the experts.
        layer_types: each layer's attention; the last one is full.
        num_key_value_heads: key and value heads of sliding layers.
        num_global_key_value_heads: key and value heads of full layers.
        head_dim: width of a head in sliding layers.
        global_head_dim: width of a head in full layers.
        attention_k_eq_v: full layers have no value projection and use the projected keys as values.
        sliding_window: tokens that a sliding layer sees, the current one included.
        max_position_embeddings: longest sequence in tokens.
        num_experts: E, experts of a layer; 0 in a dense model that names none.
        top_k_experts: K, experts of a token; likewise.
        moe_intermediate_size: I, width of an expert; likewise.
        hidden_activation: of the dense MLP and the experts, a gated one.
        rms_norm_eps: added to the mean square in every norm.
        final_logit_softcapping: c in `c * tanh(logits / c)`, or None for plain logits.
        hidden_size_per_layer_input: width of per-layer embeddings; 0 where the model has none.
        num_kv_shared_layers: last layers that read the keys and values of earlier ones.
        use_double_wide_mlp: those layers have a dense MLP of twice the width.
        router_logits_fp32: routers keep logits in fp32 (vLLM), not in the model's dtype (transformers).
        enable_moe_block: each layer has experts beside its dense MLP; False makes the model dense.
        full_num_hidden_layers: layers before `with_layers` cut the model, or None where it did not.

    Raises:
        ValueError: names the field that is impossible and what is allowed.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    layer_types: tuple[LayerType, ...]
    num_attention_heads: int
    num_key_value_heads: int
    num_global_key_value_heads: int
    head_dim: int
    global_head_dim: int
    attention_k_eq_v: bool
    sliding_window: int
    sliding_rope: RopeParameters
    full_rope: RopeParameters
    max_position_embeddings: int
    num_experts: int
    top_k_experts: int
    moe_intermediate_size: int
    hidden_activation: Activation
    rms_norm_eps: float
    final_logit_softcapping: float | None
    tie_word_embeddings: bool
    attention_bias: bool = False
    hidden_size_per_layer_input: int = 0
    num_kv_shared_layers: int = 0
    use_double_wide_mlp: bool = False
    router_logits_fp32: bool = False
    enable_moe_block: bool = True
    full_num_hidden_layers: int | None = None

    def __post_init__(self) -> None:
        self._check_types()
        self._check_layers()
        self._check_heads()
        self._check_experts()
        gated = [activation for activation in Activation if activation.is_gated]
        if not isinstance(self.hidden_activation, Activation) or self.hidden_activation not in gated:
            allowed = f"an Activation of {', '.join(gated)}"
            raise ValueError(f"hidden_activation: must be {allowed}, got {self.hidden_activation!r}")

    @classmethod
    def preset(cls, name: Preset) -> Gemma4Config:
        """A model by name.

        Args:
            name: `26b-a4b` for google/gemma-4-26B-A4B, or `tiny`, the same structure at a size for tests.

        Raises:
            ValueError: lists the presets.
        """
        check_choice("preset", name, tuple(PRESETS))
        return cls(**PRESETS[name])

    @classmethod
    def from_hf(cls, config: Mapping[str, Any], *, router_logits_fp32: bool = False) -> Gemma4Config:
        """Reads Hugging Face's `config.json`, of the whole model or of its text part.

        Heads of full layers are taken from `per_layer_config` where the dict has it (transformers 5.23), else
        from `global_head_dim` and `num_global_key_value_heads`. Unknown fields are ignored; no default of any
        library is assumed for a field that decides what the model computes.

        Args:
            config: the parsed dict, with the text model's fields under `text_config` or at the top.
            router_logits_fp32: see the attribute; no checkpoint says it.

        Raises:
            ValueError: names the field that is missing, of the wrong type or impossible, and what is allowed.
        """
        return cls(**read_fields(config), router_logits_fp32=router_logits_fp32)

    def heads_of(self, layer_type: LayerType) -> tuple[int, int]:
        """The width of a head and the number of key and value heads in layers of this type."""
        if layer_type == "full_attention":
            return self.global_head_dim, self.num_global_key_value_heads
        return self.head_dim, self.num_key_value_heads

    @property
    def is_cut(self) -> bool:
        """Whether the model has fewer layers than the one that it was cut from."""
        return self.full_num_hidden_layers is not None

    @property
    def depth(self) -> str:
        """The depth in words, for every figure that a cut model gives: `30 layers` or `6 of 30 layers`."""
        of = f" of {self.full_num_hidden_layers}" if self.is_cut else ""
        return f"{self.num_hidden_layers}{of} layers"

    def with_layers(self, num_layers: int) -> Gemma4Config:
        """The first layers of this model, in the same pattern; `is_cut` and `depth` say so.

        Args:
            num_layers: layers to keep, 1 to `num_hidden_layers`; all of them gives this config itself.

        Raises:
            ValueError: `num_layers` is out of range.
        """
        check_integer("layers", num_layers, at_least=1)
        if num_layers > self.num_hidden_layers:
            raise ValueError(
                f"layers: must be 1 to num_hidden_layers ({self.num_hidden_layers}), got {num_layers}"
            )
        if num_layers == self.num_hidden_layers:
            return self
        return replace(
            self,
            num_hidden_layers=num_layers,
            layer_types=self.layer_types[:num_layers],
            full_num_hidden_layers=self.full_num_hidden_layers or self.num_hidden_layers,
        )

    def _check_types(self) -> None:
        for name in _POSITIVE:
            check_integer(name, getattr(self, name), at_least=1)
        for name in _COUNTS:
            check_integer(name, getattr(self, name), at_least=0)
        for name in _FLAGS:
            check_boolean(name, getattr(self, name))
        check_positive_number("rms_norm_eps", self.rms_norm_eps)
        if self.final_logit_softcapping is not None:
            check_positive_number("final_logit_softcapping", self.final_logit_softcapping)

    def _check_experts(self) -> None:
        for name in _EXPERT_SIZES:
            check_integer(name, getattr(self, name), at_least=int(self.enable_moe_block))
        if self.top_k_experts > self.num_experts:
            raise ValueError(
                f"top_k_experts: must be 1 to num_experts ({self.num_experts}), got {self.top_k_experts}"
            )

    def _check_layers(self) -> None:
        # What a cut leaves may end with any layer.
        check_layer_types(self.layer_types, self.num_hidden_layers, ends_full=not self.is_cut)
        if self.num_kv_shared_layers >= self.num_hidden_layers:
            raise ValueError(
                f"num_kv_shared_layers: must be below num_hidden_layers ({self.num_hidden_layers}), "
                f"got {self.num_kv_shared_layers}"
            )

    def _check_heads(self) -> None:
        for name in ("num_key_value_heads", "num_global_key_value_heads"):
            if self.num_attention_heads % getattr(self, name):
                raise ValueError(
                    f"{name}: must divide num_attention_heads ({self.num_attention_heads}), "
                    f"got {getattr(self, name)}"
                )
        for name in ("head_dim", "global_head_dim"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name}: must be even for rotary embeddings, got {getattr(self, name)}")
