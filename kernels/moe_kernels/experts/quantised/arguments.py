"""How quantised weights reach the kernels: a format's code, its tensors with their strides, and their layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from moe_kernels.experts.quantised.fp8.kernel import fp8_block, fp8_product, fp8_row_factors
from moe_kernels.experts.quantised.int4.kernel import int4_block, int4_product, int4_row_factors
from moe_kernels.experts.quantised.nvfp4.kernel import (
    nvfp4_block,
    nvfp4_product,
    nvfp4_row_factors,
    nvfp4_scaled_product,
)
from moe_kernels.formats import Fp8, Int4, QuantisedWeights, WeightFormat

WORD_BYTES = 4
# More than this, no load gains by.
MOST_ALIGNED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatCode:
    """The jit functions of a format.

    Attributes:
        product: a tile of a matrix product.
        scaled_product: the same by `tl.dot_scaled`, where the format has it.
        load_block: a tile of weights, dequantised but for what `row_factors` gives.
        row_factors: what multiplies sums over whole rows of weights.
    """

    product: Any
    scaled_product: Any = None
    load_block: Any
    row_factors: Any

    @property
    def functions(self) -> tuple[Any, ...]:
        """All of them."""
        found = (self.product, self.scaled_product, self.load_block, self.row_factors)
        return tuple(function for function in found if function is not None)


FORMAT_CODE: Mapping[str, FormatCode] = MappingProxyType(
    {
        "int4_w4a16": FormatCode(product=int4_product, load_block=int4_block, row_factors=int4_row_factors),
        "fp8_w8a8": FormatCode(product=fp8_product, load_block=fp8_block, row_factors=fp8_row_factors),
        "nvfp4": FormatCode(
            product=nvfp4_product,
            scaled_product=nvfp4_scaled_product,
            load_block=nvfp4_block,
            row_factors=nvfp4_row_factors,
        ),
    }
)


def weight_argument(weights: QuantisedWeights) -> tuple[tuple[Any, ...] | None, ...]:
    """Values, scales, and zero points or global scales, as the kernels take them, each with its three strides.

    No format has both of the last; None only comes last, since Triton 3.6 loses what comes after it in a tuple.
    """
    third = weights.global_scales if weights.zero_points is None else weights.zero_points
    tensors = (_words(weights), weights.scales, third)
    return tuple(None if tensor is None else (_as_bytes(tensor), *_strides(tensor)) for tensor in tensors)


def layout_of(weights: QuantisedWeights) -> tuple[int, int, int]:
    """What shares a scale, 0 where whole rows do, and powers of two that divide the strides of rows and their scales.

    The first is the depth of a group with int4, and the rows of a block with fp8.
    """
    values, scales = _words(weights).stride(1), weights.scales.stride(1)
    return _shared(weights.format), _power_of_two_in(values), _power_of_two_in(scales)


def _shared(weight_format: WeightFormat) -> int:
    match weight_format:
        case Int4():
            return weight_format.group_size or 0
        case Fp8(scales="block"):
            return weight_format.block_rows
    return 0


def _words(weights: QuantisedWeights) -> Tensor:
    """The values; pairs in bytes as words of eight, for which rows have to be whole words in memory."""
    values = weights.values
    if values.dtype is not torch.uint8:
        return values
    offsets = (*values.stride()[:2], values.storage_offset())
    is_whole = values.stride(2) == 1 and not any(offset % WORD_BYTES for offset in offsets)
    return (values if is_whole else values.contiguous()).view(torch.int32)


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.view(torch.uint8) if tensor.dtype is torch.float8_e4m3fn else tensor


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """0 along a dimension of size 1, whatever is indexed there shares a value."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return tuple(0 if size == 1 else stride for size, stride in pairs)


def _power_of_two_in(stride: int) -> int:
    return min(MOST_ALIGNED, stride & -stride) if stride else MOST_ALIGNED
