"""A page as JSON: the same facts as its blocks, with what is empty left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from workbench.base.text import brief
from workbench.dashboard.blocks import Cell, Dashboard

SCHEMA = "workbench.dashboard/1"
# Of one text, characters; a trace's kernels have the longest names.
LONGEST = 2000


def payload(dashboard: Dashboard, version: str = "") -> dict[str, Any]:
    """The page for JSON.

    Args:
        dashboard: the page.
        version: of the results that it shows, for a page that is served.
    """
    record = _plain(dashboard)
    return {"schema": SCHEMA, **({"version": version} if version else {}), **record}


def _plain(value: Any) -> Any:
    if isinstance(value, Cell):
        return _cell(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {_text(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, str):
        return _text(value)
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _text(value: str) -> str:
    """Whatever a file holds: controls, and marks that turn the direction of writing, are spelt out."""
    is_plain = value.isprintable() and len(value) <= LONGEST
    return value if is_plain else brief(value, LONGEST)


def _cell(cell: Cell) -> Any:
    """Most cells are text and nothing else; there are thousands."""
    fields = _fields(cell)
    return fields["text"] if fields.keys() <= {"text"} else fields


def _fields(value: Any) -> dict[str, Any]:
    """The fields that say something: a default is what the page takes anyway."""
    found = {}
    for field in dataclasses.fields(value):
        each = getattr(value, field.name)
        if field.name == "kind" or each != field.default:
            found[field.name] = _plain(each)
    return found
