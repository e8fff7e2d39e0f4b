"""Tables as Markdown for a pull request; nothing in a cell can become markup, a link or a mention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from workbench.report.table import Table

_PLAIN = re.compile(r"[A-Za-z0-9 .,;%+\-/()=~→µ±…']*")
_ALIGNMENT = {"left": ":---", "right": "---:", "center": ":---:"}


def markdown(tables: Sequence[Table]) -> str:
    """Tables one after another, each with its title and notes."""
    return "\n\n".join(_table(table) for table in tables) + "\n"


def literal(text: str) -> str:
    """Text that Markdown shows as it is: plain where it is harmless, else as code."""
    line = "".join(each if each.isprintable() else " " for each in text)
    if _PLAIN.fullmatch(line) and not line.lstrip().startswith(("+ ", "- ", "= ")):
        return line
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _table(table: Table) -> str:
    parts = [f"**{_sentence(table.title)}**"]
    if table.rows:
        rows = [_row(column.heading for column in table.columns)]
        rows.append("|".join(["", *(_ALIGNMENT[column.justify] for column in table.columns), ""]))
        rows += [_row(row) for row in table.rows]
        parts.append("\n".join(rows))
    if table.notes:
        parts.append("\n".join(f"- {_sentence(note)}" for note in table.notes))
    return "\n\n".join(parts)


def _row(cells: Iterable[str]) -> str:
    # A pipe ends a cell even within code.
    return "".join(["| ", " | ".join(literal(cell).replace("|", "\\|") for cell in cells), " |"])


def _sentence(text: str) -> str:
    """A sentence with its odd words as code."""
    return " ".join(literal(word) if word else "" for word in text.split(" "))
