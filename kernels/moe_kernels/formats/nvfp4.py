"""NVFP4: e2m1 values, an e4m3 scale for every 16 of them, and an fp32 scale over those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from moe_kernels.formats.e2m1 import E2M1_MAX, decode_e2m1, encode_e2m1, pack_bytes, unpack_bytes
from moe_kernels.formats.format import QuantisedWeights, WeightFormat
from moe_kernels.formats.fp8 import E4M3_MAX
from moe_kernels.formats.layout import TensorSpec, spec

GROUP = 16
# What compressed-tensors gives a group of zeros.
_SCALE_OF_ZEROS = 0.125


@dataclass(frozen=True, slots=True)
class Nvfp4(WeightFormat):
    """W4A16: `value * scale / global scale`, activations in 16 bits.

    `values` uint8 [E, N, K/2], two along K; `scales` float8_e4m3fn [E, N, K/16]; `global_scales` fp32 [E, 1, 1], or
    [E, N, 1] where an expert's rows come from projections with one each. They divide, as in compressed-tensors;
    ModelOpt's `weight_scale_2` is their inverse.
    """

    spellings: ClassVar[str] = "nvfp4"
    dtype_word: ClassVar[str] = "nvfp4"
    values_per_element: ClassVar[int] = 2

    @property
    def name(self) -> str:
        """`nvfp4`."""
        return "nvfp4"

    @classmethod
    def parse(cls, text: str) -> Nvfp4 | None:
        """Reads a name; None where it is another format's."""
        return cls() if text == "nvfp4" else None

    def why_no_size(self, input_size: int) -> str | None:
        """Groups are of 16."""
        if input_size % GROUP == 0:
            return None
        return (
            f"groups of {GROUP} do not divide the input size {input_size}; nvfp4 needs a multiple of {GROUP}"
        )

    def layout(self, experts: int, rows: int, columns: int) -> Mapping[str, TensorSpec]:
        """As in the class's description."""
        return {
            "values": spec(experts, rows, columns // 2, dtypes=(torch.uint8,)),
            "scales": spec(experts, rows, columns // GROUP, dtypes=(torch.float8_e4m3fn,)),
            "global_scales": TensorSpec(((experts, 1, 1), (experts, rows, 1)), (torch.float32,)),
        }

    def _quantise_matrix(self, matrix: Tensor) -> Mapping[str, Tensor]:
        grouped = torch.unflatten(matrix, -1, (matrix.shape[-1] // GROUP, GROUP))
        largest = grouped.abs().amax(-1)
        global_scale = _global_scale(largest)
        scales = (global_scale * (largest / E2M1_MAX)).clamp(max=E4M3_MAX).to(torch.float8_e4m3fn)
        scales = torch.where(scales.float() == 0, _SCALE_OF_ZEROS, scales.float())
        scaled = grouped / (scales / global_scale).unsqueeze(-1)
        return {
            "values": pack_bytes(encode_e2m1(scaled.flatten(-2))),
            "scales": scales.to(torch.float8_e4m3fn),
            "global_scales": global_scale,
        }

    def _dequantise(self, weights: QuantisedWeights, dtype: torch.dtype) -> Tensor:
        assert weights.global_scales is not None, "checked"
        values = decode_e2m1(unpack_bytes(weights.values), dtype)
        scales = weights.scales.to(dtype) / weights.global_scales.to(dtype)
        grouped = torch.unflatten(values, -1, (weights.shape[2] // GROUP, GROUP))
        return (grouped * scales.unsqueeze(-1)).flatten(-2)


def _global_scale(largest: Tensor) -> Tensor:
    """fp32 [1, 1] that puts the largest group's scale at the end of e4m3's range; 1 for weights of zeros."""
    top = largest.amax().clamp(min=torch.finfo(largest.dtype).tiny)
    scale = (E4M3_MAX * E2M1_MAX / top).float()
    return torch.nan_to_num(scale, nan=1.0, posinf=1.0, neginf=1.0).reshape(1, 1)
