"""A table as an engine reads it: a config a token count, and which of them a batch gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

from workbench.base.errors import InputError
from workbench.integrations.engines import CONFIG_KEYS, MAX_VALUE, Engine, TableName
from workbench.integrations.raw_tables import RawTable

_ROW = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)

# vLLM completes rows for grouped four-bit weights that name only these.
_REQUIRED = ("BLOCK_SIZE_M", "GROUP_SIZE_M")


@dataclass(frozen=True, slots=True)
class EngineTable:
    """One table of an engine.

    Attributes:
        rows: a config a token count, in the file's order.
    """

    path: PurePosixPath
    name: TableName
    rows: Mapping[int, Mapping[str, Any]]

    def row_for(self, tokens: int) -> int:
        """The token count whose row a batch gets."""
        return nearest(self.rows, tokens)


def nearest(rows: Iterable[int], tokens: int) -> int:
    """The engines' choice: the smallest distance, the first in the file's order among equals."""
    return min(rows, key=lambda row: abs(row - tokens))


def is_row(key: str) -> bool:
    """Whether a key at the top of a table is a token count."""
    return _ROW.fullmatch(key) is not None


def read_table(raw: RawTable, engine: Engine) -> EngineTable:
    """Reads a table as strictly as the engine needs it.

    Raises:
        InputError: names file and key: no JSON, an unparsable name, a foreign key, a value of the wrong type.
    """
    if raw.problem:
        raise InputError(raw.problem, file=str(raw.path))
    name = TableName.parse(raw.name)
    if name is None:
        raise InputError(
            f"its name is none that {engine.title} looks for; it must be "
            "E=<experts>,N=<size>,device_name=<device>[,dtype=<dtype>][,block_shape=[<n>,<k>]].json",
            file=str(raw.path),
        )
    if raw.duplicates:
        raise InputError(
            "appears twice in one object", file=str(raw.path), key=ascii(raw.duplicates[0][:40])[1:-1]
        )
    if not isinstance(raw.content, dict):
        raise InputError("must be an object with a row a token count", file=str(raw.path))
    rows = {
        int(key): _row(raw, engine, key, value)
        for key, value in raw.content.items()
        if not _is_dropped(raw, engine, key)
    }
    if not rows:
        raise InputError("holds no row", file=str(raw.path))
    return EngineTable(raw.path, name, rows)


def _is_dropped(raw: RawTable, engine: Engine, key: str) -> bool:
    if key in engine.top_keys:
        return True
    if not is_row(key):
        _fail(raw, key, f"is no token count; {engine.title} reads every key at the top as one")
    return False


def _row(raw: RawTable, engine: Engine, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _fail(raw, key, "must be an object with a config")
    if foreign := [name for name in value if name not in engine.config_keys]:
        allowed = ", ".join(sorted(engine.config_keys))
        _fail(raw, f"{key}.{foreign[0][:40]}", f"is no key of {engine.title}'s; allowed: {allowed}")
    if missing := [name for name in _REQUIRED if name not in value]:
        _fail(raw, f"{key}.{missing[0]}", "is missing")
    for name in CONFIG_KEYS:
        if name in value and (type(value[name]) is not int or not 1 <= value[name] <= MAX_VALUE):
            _fail(raw, f"{key}.{name}", f"must be a positive integer, got {str(value[name])[:40]!r}")
    return value


def _fail(raw: RawTable, key: str, message: str) -> NoReturn:
    raise InputError(message, file=str(raw.path), key=ascii(key[:80])[1:-1])
