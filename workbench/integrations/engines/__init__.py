"""The serving engines whose tables are written and read, one a module."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from moe_kernels.tunable import Axis
from workbench.base.errors import InputError
from workbench.base.text import suggestion
from workbench.integrations.engines.engine import (
    AXES,
    CONFIG_KEYS,
    LADDER,
    MAX_VALUE,
    Config,
    Engine,
    TableName,
)
from workbench.integrations.engines.sglang import SGLang
from workbench.integrations.engines.vllm import VLLM

ENGINES: Mapping[str, Engine] = MappingProxyType({engine.name: engine for engine in (VLLM(), SGLang())})

# The axes of the experts' problems, as far as engines' tables have to do with them.
PROBLEM_AXES = (
    Axis("num_experts", "E"),
    Axis("top_k", "K"),
    Axis("hidden_size", "H"),
    Axis("intermediate_size", "I"),
    Axis(
        "dtype",
        "dtype",
        kind="dtype",
        words=(*dict.fromkeys(dtype for engine in ENGINES.values() for dtype in engine.dtypes), "nvfp4"),
    ),
    Axis("group_size", "g"),
)


def find_engine(name: str, key: str = "ENGINE") -> Engine:
    """The engine of a name.

    Raises:
        InputError: there is none, under the argument's name `key`.
    """
    if name not in ENGINES:
        allowed = ", ".join(ENGINES)
        raise InputError(f"must be one of {allowed}, got {name!r}{suggestion(name, list(ENGINES))}", key=key)
    return ENGINES[name]


__all__ = [
    "AXES",
    "CONFIG_KEYS",
    "ENGINES",
    "LADDER",
    "MAX_VALUE",
    "PROBLEM_AXES",
    "VLLM",
    "Config",
    "Engine",
    "SGLang",
    "TableName",
    "find_engine",
]
