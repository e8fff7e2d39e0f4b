"""Tables on the terminal and JSON for machines, from the same rows."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.base.text import printable


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and how its cells are aligned and styled (rich style names)."""

    heading: str
    justify: Literal["left", "right", "center"] = "left"
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to print: every cell is a string already.

    Attributes:
        columns: one per cell of a row.
        rows: the cells; markup in them is printed literally, and what is not printable is spelled.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def print_table(table: Table) -> None:
    """Prints a table to standard output, as wide as it needs to be where that is not a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    rich_table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        rich_table.add_column(Text(column.heading), justify=column.justify, style=column.style)
    for row in table.rows:
        rich_table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(Text(printable(table.title), style="bold"))
    console.print(rich_table)
    for note in table.notes:
        console.print(Text(printable(note)))
    if table.notes:
        console.print()


def print_json(value: Any) -> None:
    """Prints dataclasses, mappings and sequences as indented JSON to standard output."""
    print(json_text(value))


def json_text(value: Any) -> str:
    """Dataclasses, mappings and sequences as indented JSON."""
    return json.dumps(value, indent=2, default=_to_jsonable)


def _to_jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Sequence | set | frozenset):
        return list(value)
    return dict(value) if hasattr(value, "keys") else str(value)
