"""One call of the experts: its tensors and its sizes, as every backend takes them."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.dtypes import WORDS
from moe_kernels.formats import QuantisedWeights

KERNEL_DTYPES = ("bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedCall:
    """Checked arguments of `fused_experts`, the projections as tensors or quantised.

    Attributes:
        hidden: [T, H].
        gate_up: [E, 2I, H], or [E, I, H] where the activation is not gated.
        down: [E, H, I].
        weights: [T, K], floating point.
        ids: [T, K], integer.
        activation: what the experts apply.
    """

    hidden: Tensor
    gate_up: Tensor | QuantisedWeights
    down: Tensor | QuantisedWeights
    weights: Tensor
    ids: Tensor
    activation: Activation

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.hidden.shape[0]

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.hidden.shape[1]

    @property
    def num_experts(self) -> int:
        """E."""
        return self.down.shape[0]

    @property
    def intermediate_size(self) -> int:
        """I."""
        return self.down.shape[2]

    @property
    def top_k(self) -> int:
        """K."""
        return self.ids.shape[1]

    @property
    def num_slots(self) -> int:
        """T * K, the (token, expert) pairs."""
        return self.ids.shape[0] * self.ids.shape[1]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compute: the result is zero, or has no elements."""
        return not (self.num_slots and self.num_experts and self.hidden_size and self.intermediate_size)

    @property
    def problem(self) -> dict[str, int | str]:
        """The axes under which tuned configs are filed, the ladder left out."""
        return {
            "num_experts": self.num_experts,
            "top_k": self.top_k,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "dtype": WORDS.get(self.hidden.dtype, str(self.hidden.dtype)),
        }

    def contiguous_routing(self) -> tuple[Tensor, Tensor]:
        """Weights and ids with slots one after the other."""
        return self.weights.contiguous(), self.ids.contiguous()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsCall(RoutedCall):
    """A call with both projections as tensors in the dtype of `hidden`."""

    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedCall(RoutedCall):
    """A call with both projections quantised."""

    gate_up: QuantisedWeights
    down: QuantisedWeights

    @property
    def problem(self) -> dict[str, int | str]:
        """The axes under which tuned configs are filed: the word of the format, and the depth that shares a scale."""
        axes = {**RoutedCall.problem.fget(self), "dtype": self.down.dtype_word}  # type: ignore[attr-defined]
        groups = [getattr(each.format, "group_size", None) for each in (self.gate_up, self.down)]
        known = [group for group in groups if group is not None]
        return {**axes, "group_size": gcd(*known)} if known else axes
