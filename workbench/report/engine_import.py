"""What an engine's tables gave as seeds: what `import` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.base.text import pairs
from workbench.integrations.import_tables import Imported, ImportedTable
from workbench.report.table import Column, Table

_COLUMNS = (Column("device"), Column("problem"), Column("tokens"), Column("table"), Column("as seeds"))
OPEN = (
    "Neither the hidden size nor the experts a token is in a table's name: the seeds are for every problem that "
    "agrees in the rest."
)


def import_report(imported: Imported, out: Path | None) -> Table:
    """A line a table, with what could not be read below.

    Args:
        imported: as `import_seeds` returns it.
        out: where the seeds were written.
    """
    written = f"{len(imported.seeds.rows)} seeds are in {out}." if out else "Write the seeds with --out FILE."
    skipped = tuple(f"skipped: {path}: {reason}" for path, reason in imported.unreadable)
    rows = tuple(_cells(each) for each in imported.tables)
    return Table(f"{imported.engine.title}'s tables", _COLUMNS, rows, (*skipped, OPEN, written))


def import_record(imported: Imported) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "engine": imported.engine.name,
        "kernel": imported.seeds.kernel,
        "seeds": len(imported.seeds.rows),
        "tables": [
            {
                "path": str(each.table.path),
                "device": each.device,
                "problem": dict(each.problem) if each.problem else None,
                "tokens": list(each.table.rows),
                "skipped": each.skipped or None,
            }
            for each in imported.tables
        ],
        "unreadable": [{"path": path, "reason": reason} for path, reason in imported.unreadable],
    }


def _cells(each: ImportedTable) -> tuple[str, ...]:
    rows = sorted(each.table.rows)
    return (
        each.device or "none",
        pairs(each.problem) if each.problem else "",
        f"{rows[0]}..{rows[-1]} ({len(rows)})",
        "/".join(each.table.path.parts[-2:]),
        f"no: {each.skipped}" if each.skipped else "yes",
    )
