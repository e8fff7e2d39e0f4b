"""The axes of the experts' problems, as far as engines' tables have to do with them."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.base.errors import InputError
from workbench.integrations.engines import ENGINES

SHORT_NAMES: Mapping[str, str] = {
    "num_experts": "E",
    "top_k": "K",
    "hidden_size": "H",
    "intermediate_size": "I",
    "dtype": "dtype",
    "group_size": "g",
}
DTYPES = (*dict.fromkeys(dtype for engine in ENGINES.values() for dtype in engine.dtypes), "nvfp4")


def parse_value(axis: str, text: str) -> int | str:
    """Reads the value of an axis.

    Raises:
        InputError: it is of the wrong type.
    """
    if axis == "dtype":
        if text not in DTYPES:
            raise InputError(f"{axis} must be one of {', '.join(DTYPES)}, got {text!r}", key="--problem")
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise InputError(f"{axis} must be a positive integer, got {text!r}", key="--problem")
    return int(text)
