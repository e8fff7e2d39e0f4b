"""Eight-bit floating point (e4m3) with a scale for each tensor, output channel or block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from moe_kernels.formats.format import QuantisedWeights, WeightFormat
from moe_kernels.formats.layout import SCALE_DTYPES, TensorSpec, spec

E4M3_MAX = 448.0
BLOCK = 128
Scales = Literal["tensor", "channel", "block"]
_NAME = re.compile(r"fp8-(?P<scales>tensor|channel|block)(?:-r(?P<rows>[1-9]\d{0,3}))?")


@dataclass(frozen=True, slots=True)
class Fp8(WeightFormat):
    """W8A8: `value * scale`; activations are quantised as they come, each token by itself.

    `values` float8_e4m3fn [E, N, K]; `scales` fp32 (or bf16, fp16): [E, 1, 1] per tensor, [E, N, 1] per channel,
    [E, ceil(N/block_rows), ceil(K/128)] per block, where each token has a scale for 128 values, not for all.

    Attributes:
        scales: what shares a scale.
        block_rows: rows of a block. 128 except where gate and up, of which each has blocks of its own, are joined and
            128 does not divide I: there a divisor of both lets each row keep its scale.
    """

    scales: Scales
    block_rows: int = BLOCK

    spellings: ClassVar[str] = "fp8-tensor, fp8-channel, fp8-block"
    dtype_word: ClassVar[str] = "fp8_w8a8"

    def __post_init__(self) -> None:
        if self.scales not in get_args(Scales):
            raise ValueError(f"scales: must be one of {', '.join(get_args(Scales))}, got {self.scales!r}")
        if self.block_rows != BLOCK and (self.scales != "block" or self.block_rows not in _divisors(BLOCK)):
            allowed = f"{BLOCK}, or with blocks one of {', '.join(map(str, _divisors(BLOCK)))}"
            raise ValueError(f"block_rows: must be {allowed}, got {self.block_rows!r}")

    @property
    def name(self) -> str:
        """`fp8-channel` and so on; `fp8-block-r64` for blocks of 64 rows."""
        return f"fp8-{self.scales}{'' if self.block_rows == BLOCK else f'-r{self.block_rows}'}"

    @property
    def activation_group(self) -> int | None:
        """128 values of a token share a scale with blocks, else all."""
        return BLOCK if self.scales == "block" else None

    @classmethod
    def parse(cls, text: str) -> Fp8 | None:
        """Reads a name; None where it is another format's."""
        if not (match := _NAME.fullmatch(text)):
            return None
        return cls(match["scales"], int(match["rows"] or BLOCK))  # type: ignore[arg-type]

    def why_no_size(self, input_size: int) -> str | None:
        """Any size fits; the last block may be a part."""
        return None

    def layout(self, experts: int, rows: int, columns: int) -> Mapping[str, TensorSpec]:
        """As in the class's description."""
        blocks = -(-rows // self.block_rows), -(-columns // BLOCK)
        scales = {"tensor": (1, 1), "channel": (rows, 1), "block": blocks}[self.scales]
        return {
            "values": spec(experts, rows, columns, dtypes=(torch.float8_e4m3fn,)),
            "scales": spec(experts, *scales, dtypes=(torch.float32, *SCALE_DTYPES[:-1])),
        }

    def rows_per_element(self, attribute: str) -> int:
        """Rows of a block share its scale."""
        return self.block_rows if attribute == "scales" and self.scales == "block" else 1

    def _quantise_matrix(self, matrix: Tensor) -> Mapping[str, Tensor]:
        scales = self._largest(matrix.abs()) / E4M3_MAX
        scales = torch.where(scales == 0, torch.finfo(scales.dtype).eps, scales)
        scaled = matrix / self._spread(scales, *matrix.shape)
        return {
            "values": scaled.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn),
            "scales": scales.float(),
        }

    def _largest(self, magnitudes: Tensor) -> Tensor:
        """The largest of [N, K] under each scale."""
        if self.scales == "tensor":
            return magnitudes.amax((0, 1), keepdim=True)
        if self.scales == "channel":
            return magnitudes.amax(1, keepdim=True)
        rows, columns = magnitudes.shape
        padded = functional.pad(magnitudes, (0, -columns % BLOCK, 0, -rows % self.block_rows))
        blocks = torch.unflatten(torch.unflatten(padded, 1, (-1, BLOCK)), 0, (-1, self.block_rows))
        return blocks.amax((1, 3))

    def _spread(self, scales: Tensor, rows: int, columns: int) -> Tensor:
        """Scales that broadcast to [..., N, K]."""
        if self.scales != "block":
            return scales
        spread = scales.repeat_interleave(self.block_rows, -2).repeat_interleave(BLOCK, -1)
        return spread[..., :rows, :columns]

    def _dequantise(self, weights: QuantisedWeights, dtype: torch.dtype) -> Tensor:
        _, rows, columns = weights.shape
        return weights.values.to(dtype) * self._spread(weights.scales.to(dtype), rows, columns)


def _divisors(size: int) -> list[int]:
    return [divisor for divisor in range(1, size) if size % divisor == 0]
