"""The dimensions and options of a multi-token-prediction assistant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.models.gemma4.checks import check_boolean, check_integer, check_mapping
from workbench.models.gemma4.config import Gemma4Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma4AssistantConfig:
    """A `gemma4_assistant`; names as in Hugging Face's `config.json`.

    Attributes:
        text: the assistant's own layers, dense; none of them has keys or values.
        backbone_hidden_size: H of the target model.
        use_ordered_embeddings: only the tokens of a few clusters are scored.
        num_centroids: clusters of the vocabulary; 0 where none are used.
        centroid_intermediate_top_k: clusters whose tokens are scored; likewise.

    Raises:
        ValueError: names the field that is impossible and what is allowed.
    """

    text: Gemma4Config
    backbone_hidden_size: int
    use_ordered_embeddings: bool = False
    num_centroids: int = 0
    centroid_intermediate_top_k: int = 0

    def __post_init__(self) -> None:
        check_integer("backbone_hidden_size", self.backbone_hidden_size, at_least=1)
        check_boolean("use_ordered_embeddings", self.use_ordered_embeddings)
        if self.text.enable_moe_block:
            raise ValueError("enable_moe_block: must be false, an assistant is dense, got True")
        if self.text.hidden_size_per_layer_input:
            got = self.text.hidden_size_per_layer_input
            raise ValueError(f"hidden_size_per_layer_input: must be 0 in an assistant, got {got}")
        if self.use_ordered_embeddings:
            self._check_centroids()

    def _check_centroids(self) -> None:
        for name in ("num_centroids", "centroid_intermediate_top_k"):
            check_integer(name, getattr(self, name), at_least=1)
        if self.text.vocab_size % self.num_centroids:
            raise ValueError(
                f"num_centroids: must divide vocab_size ({self.text.vocab_size}), got {self.num_centroids}"
            )
        if self.centroid_intermediate_top_k > self.num_centroids:
            raise ValueError(
                f"centroid_intermediate_top_k: must be 1 to num_centroids ({self.num_centroids}), "
                f"got {self.centroid_intermediate_top_k}"
            )

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Gemma4AssistantConfig:
        """Reads Hugging Face's `config.json` of an assistant.

        Sizes of experts may be absent or None, and `enable_moe_block` absent: an assistant has none.

        Args:
            config: the parsed dict, with the layers' fields under `text_config`.

        Raises:
            ValueError: names the field that is missing, of the wrong type or impossible, and what is allowed.
        """
        whole = check_mapping("config", config)
        for name in ("text_config", "backbone_hidden_size"):
            if name not in whole:
                raise ValueError(f"{name}: missing")
        text = dict(check_mapping("text_config", whole["text_config"]))
        _check_sharing(text)
        text |= {"num_kv_shared_layers": 0, "enable_moe_block": text.get("enable_moe_block") or False}
        tied = {name: whole[name] for name in ("tie_word_embeddings",) if name in whole}
        ordered = whole.get("use_ordered_embeddings", False)
        return cls(
            text=Gemma4Config.from_hf({"text_config": text, **tied}),
            backbone_hidden_size=whole["backbone_hidden_size"],
            use_ordered_embeddings=ordered,
            num_centroids=whole.get("num_centroids", 0),
            centroid_intermediate_top_k=whole.get("centroid_intermediate_top_k", 0),
        )

    def check_fits(self, target: Gemma4Config) -> None:
        """Raises ValueError unless the assistant was made for such a target; names field and both values."""
        pairs = {
            "backbone_hidden_size": (self.backbone_hidden_size, target.hidden_size),
            "vocab_size": (self.text.vocab_size, target.vocab_size),
            "head_dim": (self.text.head_dim, target.head_dim),
            "num_key_value_heads": (self.text.num_key_value_heads, target.num_key_value_heads),
            "global_head_dim": (self.text.global_head_dim, target.global_head_dim),
            "num_global_key_value_heads": (
                self.text.num_global_key_value_heads,
                target.num_global_key_value_heads,
            ),
            "sliding_window": (self.text.sliding_window, target.sliding_window),
        }
        for name, (ours, theirs) in pairs.items():
            if ours != theirs:
                whose = "hidden_size" if name == "backbone_hidden_size" else name
                raise ValueError(f"assistant {name}: must be the target's {whose} ({theirs}), got {ours}")
        if missing := set(self.text.layer_types) - set(target.layer_types):
            raise ValueError(
                f"assistant layer_types: must be among the target's ({', '.join(dict.fromkeys(target.layer_types))}), "
                f"got {', '.join(sorted(missing))}"
            )


def _check_sharing(text: Mapping[str, Any]) -> None:
    shared, layers = text.get("num_kv_shared_layers"), text.get("num_hidden_layers")
    if shared not in (None, 0, layers):
        raise ValueError(
            f"num_kv_shared_layers: must be num_hidden_layers ({layers}) in an assistant, got {shared!r}"
        )
