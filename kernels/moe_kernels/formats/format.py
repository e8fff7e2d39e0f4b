"""What every weight format can do: quantise, dequantise, and check tensors against its layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from moe_kernels.formats.layout import TensorSpec, either
from moe_kernels.formats.weights import TENSOR_NAMES, QuantisedWeights

_WEIGHT_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


class WeightFormat(ABC):
    """A way to hold the weights [E, N, K] of one projection of all experts in fewer bits.

    Scales and roundings are those of compressed-tensors' min-max calibration on a CPU: in the dtype of the weights.

    Attributes:
        spellings: how `parse` reads it, for messages.
        dtype_word: under which tuned configs are filed.
        values_per_element: values of the input dimension in one element of `values`.
        activation_group: whether and how activations are quantised: 0 not at all, None per token, else per so many.
    """

    __slots__ = ()

    spellings: ClassVar[str]
    dtype_word: ClassVar[str]
    values_per_element: ClassVar[int] = 1

    @property
    @abstractmethod
    def name(self) -> str:
        """How configs and the command line spell it."""

    @property
    def activation_group(self) -> int | None:
        """Values of a token that share a scale where activations are quantised: 0 where they are not, None for all."""
        return 0

    def rows_per_element(self, attribute: str) -> int:
        """How many rows share an element of a tensor, by attribute of `QuantisedWeights`."""
        return 1

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """Reads a name; None where it is another format's."""

    @abstractmethod
    def why_no_size(self, input_size: int) -> str | None:
        """Says why the format cannot hold rows of K values, or None."""

    @abstractmethod
    def layout(self, experts: int, rows: int, columns: int) -> Mapping[str, TensorSpec]:
        """The tensors of weights [E, N, K], by attribute of `QuantisedWeights`."""

    @abstractmethod
    def _quantise_matrix(self, matrix: Tensor) -> Mapping[str, Tensor]:
        """The tensors of one expert [N, K], without the dimension E."""

    @abstractmethod
    def _dequantise(self, weights: QuantisedWeights, dtype: torch.dtype) -> Tensor:
        """The weights [E, N, K] in fp32 or fp64."""

    def quantise(self, weight: Tensor) -> QuantisedWeights:
        """Quantises expert by expert.

        Args:
            weight: [E, N, K], bf16, fp16, fp32 or fp64; the latter is rounded to fp32 first.

        Raises:
            ValueError: it has another shape or dtype, or a size that the format cannot hold.
        """
        if weight.dim() != 3:
            raise ValueError(f"weight: must have shape [E, N, K], got {list(weight.shape)}")
        if weight.dtype not in _WEIGHT_DTYPES:
            names = either(str(dtype).removeprefix("torch.") for dtype in _WEIGHT_DTYPES)
            raise ValueError(f"weight: dtype must be {names}, got {weight.dtype}")
        self._check_size("weight", weight.shape[2])
        if not weight.numel():
            return self.empty(*weight.shape, device=weight.device).map(torch.zeros_like)
        narrow = torch.float32 if weight.dtype is torch.float64 else weight.dtype
        experts = [self._quantise_matrix(matrix.detach().to(narrow)) for matrix in weight.unbind()]
        tensors = {name: torch.stack([expert[name] for expert in experts]) for name in experts[0]}
        return self._hold(tensors, weight.shape[2])

    def dequantise(self, weights: QuantisedWeights, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weights [E, N, K], computed in fp32, or in fp64 where that is asked for, and rounded once."""
        wide = torch.float64 if dtype is torch.float64 else torch.float32
        return self._dequantise(weights, wide).to(dtype)

    def empty(
        self,
        experts: int,
        rows: int,
        columns: int,
        *,
        device: torch.device | str | None = None,
        scale_dtype: torch.dtype | None = None,
    ) -> QuantisedWeights:
        """Uninitialised weights [E, N, K].

        Args:
            experts: E.
            rows: N.
            columns: K.
            device: where they are made.
            scale_dtype: of the scales, where the format leaves a choice; others are ignored.

        Raises:
            ValueError: the format cannot hold rows of K values.
        """
        self._check_size("columns", columns)
        tensors = {}
        for name, wanted in self.layout(experts, rows, columns).items():
            chosen = scale_dtype if name == "scales" and scale_dtype in wanted.dtypes else wanted.dtypes[0]
            tensors[name] = torch.empty(wanted.shapes[0], dtype=chosen, device=device)
        return self._hold(tensors, columns)

    def check(self, weights: QuantisedWeights, *, name: str = "weights") -> None:
        """Compares tensors with the layout; reads no values.

        Args:
            weights: what is checked.
            name: of the argument, for messages.

        Raises:
            ValueError: names the argument and tensor, and what is allowed.
        """
        if weights.values.dim() != 3:
            raise ValueError(
                f"{name}.values: must have shape [E, N, packed K], got {list(weights.values.shape)}"
            )
        self._check_size(name, weights.shape[2])
        wanted, found = self.layout(*weights.shape), weights.tensors()
        for attribute in TENSOR_NAMES:
            label = f"{name}.{attribute}"
            if attribute not in wanted:
                if attribute in found:
                    raise ValueError(f"{label}: must be None, {self.name} has none")
            elif attribute not in found:
                raise ValueError(f"{label}: missing, {self.name} needs {wanted[attribute]}")
            else:
                wanted[attribute].check(label, found[attribute])
                _check_device(label, found[attribute], weights.device)

    def _check_size(self, name: str, input_size: int) -> None:
        if reason := self.why_no_size(input_size):
            raise ValueError(f"{name}: {reason}")

    def _hold(self, tensors: Mapping[str, Tensor], columns: int) -> QuantisedWeights:
        is_rounded_up = columns % self.values_per_element
        return QuantisedWeights(format=self, **tensors, input_size=columns if is_rounded_up else None)

    def __str__(self) -> str:
        return self.name


def _check_device(name: str, tensor: Tensor, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(f"{name}: must be on {device} as its values, got {tensor.device}")
