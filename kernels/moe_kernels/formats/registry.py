"""The weight formats that exist, and how names are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from moe_kernels.formats.format import WeightFormat
from moe_kernels.formats.fp8 import Fp8
from moe_kernels.formats.int4 import Int4
from moe_kernels.formats.nvfp4 import Nvfp4

FORMATS: Mapping[str, type[WeightFormat]] = MappingProxyType({"int4": Int4, "fp8": Fp8, "nvfp4": Nvfp4})


def parse_format(text: str) -> WeightFormat:
    """Reads a format's name, for example `int4-g32-asym`, `fp8-block` or `nvfp4`.

    Raises:
        ValueError: lists how formats are spelled.
    """
    if isinstance(text, str):
        for family in FORMATS.values():
            if found := family.parse(text):
                return found
    spellings = ", ".join(family.spellings for family in FORMATS.values())
    raise ValueError(f"format: must be one of {spellings}; got {text!r}")
