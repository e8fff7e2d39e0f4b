"""The two kinds of decoder layers, and the rotary embedding of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from workbench.models.gemma4.checks import check_choice, check_positive_number

LayerType = Literal["sliding_attention", "full_attention"]
LAYER_TYPES: tuple[LayerType, ...] = get_args(LayerType)
ROPE_TYPES = ("default", "proportional")


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeParameters:
    """Rotary position embedding of one kind of layer.

    Attributes:
        rope_type: `default` rotates the whole head; `proportional` spaces the frequencies over the whole
            head, but rotates a part of it.
        rope_theta: base of the frequencies.
        partial_rotary_factor: the part of the head that `proportional` rotates, above 0 and up to 1.
        factor: what `proportional` divides the frequencies by.
    """

    rope_type: Literal["default", "proportional"]
    rope_theta: float
    partial_rotary_factor: float = 1.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        check_choice("rope_type", self.rope_type, ROPE_TYPES)
        check_positive_number("rope_theta", self.rope_theta)
        check_positive_number("partial_rotary_factor", self.partial_rotary_factor, at_most=1)
        check_positive_number("factor", self.factor)


def check_layer_types(layer_types: Any, num_hidden_layers: int, *, ends_full: bool = True) -> None:
    """Raises ValueError unless these are the attention types of that many layers, the last one full."""
    if not isinstance(layer_types, (list, tuple)) or len(layer_types) != num_hidden_layers:
        allowed = f"a list of num_hidden_layers ({num_hidden_layers}) items"
        raise ValueError(f"layer_types: must be {allowed}, got {layer_types!r}")
    for layer, layer_type in enumerate(layer_types):
        check_choice(f"layer_types[{layer}]", layer_type, LAYER_TYPES)
    if ends_full and layer_types[-1] != "full_attention":
        raise ValueError(
            f"layer_types[{num_hidden_layers - 1}]: must be full_attention, got {layer_types[-1]}"
        )
