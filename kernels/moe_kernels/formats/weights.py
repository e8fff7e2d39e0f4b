"""Quantised weights as they travel: the tensors of one projection of all experts, and the format that reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from moe_kernels.formats.format import WeightFormat

TENSOR_NAMES = ("values", "scales", "zero_points", "global_scales")


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
