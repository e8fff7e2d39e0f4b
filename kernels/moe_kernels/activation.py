"""The activations of an expert's feed-forward network, under one spelling."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from torch import Tensor
from torch.nn import functional

_UNGATED = "_no_mul"

# Hugging Face's names for the same functions; they differ in rounding at most.
_ALIASES: Mapping[str, str] = {
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "swish": "silu",
}


class Activation(StrEnum):
    """What an expert applies between its two projections.

    A gated activation reads `[..., 2d]`, the gate in the first half and the up projection in the second
    (chunked, not interleaved), and gives `act(gate) * up`. A value that ends in `_no_mul` is ungated and
    reads `[..., d]`. `gelu` is the exact one, by erf; Gemma 4 uses `gelu_tanh`, its tanh approximation
    (https://arxiv.org/abs/1606.08415).
    """

    gelu = "gelu"
    gelu_tanh = "gelu_tanh"
    silu = "silu"
    gelu_no_mul = "gelu_no_mul"
    gelu_tanh_no_mul = "gelu_tanh_no_mul"
    silu_no_mul = "silu_no_mul"

    @classmethod
    def parse(cls, name: str) -> Activation:
        """Reads an activation's name, its own or an alias as Hugging Face spells it.

        Args:
            name: for example `gelu_tanh`, `gelu_pytorch_tanh`, `swish` or `swish_no_mul`.

        Raises:
            ValueError: lists the activations and aliases that exist.
        """
        # torch.compile traces this: it knows no string methods of an enumeration, older releases no iteration over one.
        if isinstance(name, cls):
            return name
        if isinstance(name, str) and (found := _BY_NAME.get(name)) is not None:
            return found
        aliases = ", ".join(f"{alias} ({known})" for alias, known in _ALIASES.items())
        raise ValueError(f"activation: must be one of {', '.join(cls)}, or an alias: {aliases}; got {name!r}")

    @property
    def is_gated(self) -> bool:
        """Whether the input holds gate and up halves that are multiplied."""
        return not self.value.endswith(_UNGATED)

    def apply(self, gate_up: Tensor) -> Tensor:
        """Applies the activation by plain torch operations, in the dtype of the input.

        Args:
            gate_up: `[..., 2d]` as `[gate | up]` where gated, else `[..., d]`; floating point.

        Returns:
            `[..., d]` in the dtype of the input.

        Raises:
            ValueError: the last dimension of a gated input is odd.
        """
        if not self.is_gated:
            return self._pointwise(gate_up)
        if gate_up.shape[-1] % 2:
            raise ValueError(
                f"gate_up: last dimension must be even for {self.value}, got {list(gate_up.shape)}"
            )
        gate, up = gate_up.chunk(2, dim=-1)
        return self._pointwise(gate) * up

    def _pointwise(self, gate: Tensor) -> Tensor:
        match self.value.removesuffix(_UNGATED):
            case "silu":
                return functional.silu(gate)
            case "gelu_tanh":
                return functional.gelu(gate, approximate="tanh")
            case _:
                return functional.gelu(gate)


_BY_NAME: Mapping[str, Activation] = {
    **{activation.value: activation for activation in Activation},
    **{
        alias + suffix: Activation(known + suffix)
        for alias, known in _ALIASES.items()
        for suffix in ("", _UNGATED)
    },
}
