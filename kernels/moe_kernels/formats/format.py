"""Quantised weights as they travel, and what every format of them can do: quantise, dequantise, check tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from moe_kernels.formats.layout import TensorSpec, either

TENSOR_NAMES = ("values", "scales", "zero_points", "global_scales")
_WEIGHT_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedWeights:
    """One projection of all experts, logically [E, N, K]; the format says shapes and dtypes of the tensors.

    Nothing is checked here, so that tensors of any kind can be carried; `format.check` does.

    Attributes:
        format: how the tensors are read.
        values: the packed values, [E, N, ...].
        scales: [E, ...].
        zero_points: [E, ...] of asymmetric formats, else None.
        global_scales: [E, R, 1] of formats with two levels of scales, else None.
        input_size: K where packing rounds it up, as int4 per channel does; None takes all that `values` has room for.
    """

    format: WeightFormat
    values: Tensor
    scales: Tensor
    zero_points: Tensor | None = None
    global_scales: Tensor | None = None
    input_size: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """E, N and K."""
        experts, rows, width = self.values.shape
        room = width * self.format.values_per_element
        return experts, rows, room if self.input_size is None else self.input_size

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    @property
    def dtype_word(self) -> str:
        """The format's word for tuned configs."""
        return self.format.dtype_word

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name of attribute."""
        held = {name: getattr(self, name) for name in TENSOR_NAMES}
        return {name: tensor for name, tensor in held.items() if tensor is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> QuantisedWeights:
        """The same weights with each tensor changed, for example moved or sliced along the experts."""
        changed: Mapping[str, Tensor] = {name: change(tensor) for name, tensor in self.tensors().items()}
        # mypy cannot tell the tensors among the fields of a dataclass.
        return replace(self, **changed)  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> QuantisedWeights:
        """The same weights on a device."""
        return self.map(lambda tensor: tensor.to(device))

    def expert(self, index: int) -> QuantisedWeights:
        """The weights [1, N, K] of one expert, as views."""
        return self.map(lambda tensor: tensor[index : index + 1])

    def rows(self, start: int, stop: int) -> QuantisedWeights:
        """The weights [E, stop - start, K] of some rows, as views.

        Args:
            start: the first row, a multiple of 128, so that words and blocks stay whole.
            stop: after the last row.
        """

        def cut(name: str, tensor: Tensor) -> Tensor:
            unit = self.format.rows_per_element(name)
            # One row for all rows.
            return tensor if tensor.shape[1] == 1 else tensor[:, start // unit : -(-stop // unit)]

        kept: Mapping[str, Tensor] = {name: cut(name, tensor) for name, tensor in self.tensors().items()}
        return replace(self, **kept)  # type: ignore[arg-type]


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
