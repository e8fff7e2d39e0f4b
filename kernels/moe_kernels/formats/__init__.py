"""Weight formats of quantised experts: layouts, packers and unpackers in plain torch."""

from moe_kernels.formats.format import QuantisedWeights, WeightFormat
from moe_kernels.formats.fp8 import Fp8
from moe_kernels.formats.int4 import Int4
from moe_kernels.formats.linear import quantised_linear
from moe_kernels.formats.nvfp4 import Nvfp4
from moe_kernels.formats.registry import FORMATS, parse_format
from moe_kernels.formats.tokens import dequantise_tokens, quantise_tokens

__all__ = [
    "FORMATS",
    "Fp8",
    "Int4",
    "Nvfp4",
    "QuantisedWeights",
    "WeightFormat",
    "dequantise_tokens",
    "parse_format",
    "quantise_tokens",
    "quantised_linear",
]
