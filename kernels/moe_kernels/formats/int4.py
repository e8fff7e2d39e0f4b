"""Four-bit integers, eight in an int32, with a scale and perhaps a zero point for each group of a row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from moe_kernels.formats.format import QuantisedWeights, WeightFormat
from moe_kernels.formats.layout import SCALE_DTYPES, TensorSpec, spec
from moe_kernels.formats.nibbles import NIBBLES, pack_int4, packed_size, unpack_int4

_LOWEST, _HIGHEST = -8, 7
_NAME = re.compile(r"int4-(?:channel|g(?P<group>[1-9]\d{0,5}))(?P<asymmetric>-asym)?")
_USUAL_GROUPS = (16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Int4(WeightFormat):
    """W4A16: `(value - zero point) * scale`, activations in 16 bits.

    `values` int32 [E, N, ceil(K/8)], eight along K; `scales` bf16, fp16 or fp32 [E, N, G] for G = K/group_size groups,
    or 1; `zero_points` int32 [E, ceil(N/8), G], eight along N. Values and zero points are -8 to 7 and stored plus 8.

    Attributes:
        group_size: values of a row that share a scale, a multiple of 8 that divides K; None for a whole row.
        symmetric: whether zero is stored as itself, without zero points.
    """

    group_size: int | None
    symmetric: bool = True

    spellings: ClassVar[str] = "int4-channel, int4-gSIZE, each with or without -asym"
    dtype_word: ClassVar[str] = "int4_w4a16"
    values_per_element: ClassVar[int] = NIBBLES

    def __post_init__(self) -> None:
        group = self.group_size
        is_group = (
            isinstance(group, int) and not isinstance(group, bool) and group > 0 and group % NIBBLES == 0
        )
        if group is not None and not is_group:
            raise ValueError(f"group_size: must be a positive multiple of {NIBBLES}, or None, got {group!r}")

    @property
    def name(self) -> str:
        """`int4-g32`, `int4-channel` and so on, with `-asym` where there are zero points."""
        groups = "channel" if self.group_size is None else f"g{self.group_size}"
        return f"int4-{groups}{'' if self.symmetric else '-asym'}"

    @classmethod
    def parse(cls, text: str) -> Int4 | None:
        """Reads a name; None where it is another format's."""
        if not (match := _NAME.fullmatch(text)):
            return None
        return cls(int(match["group"]) if match["group"] else None, symmetric=not match["asymmetric"])

    def why_no_size(self, input_size: int) -> str | None:
        """Groups must divide the row."""
        if self.group_size is None or input_size % self.group_size == 0:
            return None
        fitting = [str(group) for group in _USUAL_GROUPS if input_size % group == 0]
        allowed = " or ".join([*fitting, "one group per output channel"])
        return f"group size {self.group_size} does not divide the input size {input_size}, which allows {allowed}"

    def layout(self, experts: int, rows: int, columns: int) -> Mapping[str, TensorSpec]:
        """As in the class's description."""
        groups = self._groups(columns)
        specs = {
            "values": spec(experts, rows, packed_size(columns), dtypes=(torch.int32,)),
            "scales": spec(experts, rows, groups, dtypes=SCALE_DTYPES),
        }
        if not self.symmetric:
            specs["zero_points"] = spec(experts, packed_size(rows), groups, dtypes=(torch.int32,))
        return specs

    def rows_per_element(self, attribute: str) -> int:
        """Zero points are packed."""
        return NIBBLES if attribute == "zero_points" else 1

    def _groups(self, columns: int) -> int:
        return 1 if self.group_size is None else columns // self.group_size

    def _quantise_matrix(self, matrix: Tensor) -> Mapping[str, Tensor]:
        grouped = self._grouped(matrix)
        scales, zero_points = self._calibrate(grouped)
        scaled = grouped / scales.unsqueeze(-1) + zero_points.unsqueeze(-1)
        values = scaled.clamp(_LOWEST, _HIGHEST).round().to(torch.int8).flatten(-2)
        tensors = {"values": pack_int4(values), "scales": scales}
        if not self.symmetric:
            tensors["zero_points"] = pack_int4(zero_points.to(torch.int8).mT).mT.contiguous()
        return tensors

    def _calibrate(self, grouped: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and zero points [N, G] of groups [N, G, g]: the range of each, zero included, in 15 steps."""
        lowest = grouped.amin(-1).clamp(max=0)
        highest = grouped.amax(-1).clamp(min=0)
        steps = _HIGHEST - _LOWEST
        if self.symmetric:
            scales = torch.maximum(-lowest, highest) / (steps / 2)
            zero_points = torch.zeros_like(scales)
        else:
            scales = (highest - lowest) / steps
            zero_points = (_LOWEST - lowest / scales).clamp(_LOWEST, _HIGHEST).round()
        # A group of zeros divides zero by zero.
        return torch.where(scales == 0, torch.finfo(scales.dtype).eps, scales), zero_points.nan_to_num(0.0)

    def _grouped(self, rows: Tensor) -> Tensor:
        """[..., K] as [..., G, g]."""
        columns = rows.shape[-1]
        return torch.unflatten(rows, -1, (self._groups(columns), self.group_size or columns))

    def _dequantise(self, weights: QuantisedWeights, dtype: torch.dtype) -> Tensor:
        _, rows, columns = weights.shape
        values = self._grouped(unpack_int4(weights.values, columns).to(dtype))
        if weights.zero_points is not None:
            values = values - unpack_int4(weights.zero_points.mT, rows).mT.to(dtype).unsqueeze(-1)
        return (values * weights.scales.to(dtype).unsqueeze(-1)).flatten(-2)
