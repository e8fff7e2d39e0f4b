"""What was exported for an engine, row by row: what `export` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

from moe_kernels.tunable import Problem
from workbench.base.text import pairs
from workbench.devices.device import Device
from workbench.integrations.engine_winners import ProblemWinners
from workbench.integrations.engines import Engine
from workbench.integrations.engines.backends import table_use
from workbench.integrations.export import ExportedRow, ExportedTable
from workbench.report.table import Column, Table

MODELLED = (
    "~ modelled: nothing was timed. These configs were ranked by a model for that GPU; no maintainer should be "
    "shown them as tuned."
)
_COLUMNS = (
    Column("tokens", "right"),
    Column("config"),
    Column("from"),
    Column("time us", "right"),
    Column("speed-up", "right"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was exported, and from what.

    Attributes:
        source_hash: of the kernel as it is now and as a problem sees it, None where it is not at hand.
        shipped: where the engine's installed package has its own tables, None where it is not installed.
    """

    engine: Engine
    tables: Sequence[ExportedTable]
    winners: Sequence[ProblemWinners]
    device: Device
    out: Path
    source_hash: Callable[[Problem], str | None]
    shipped: Path | None


def export_tables(export: Export) -> tuple[Table, ...]:
    """A table a file that was written, with what to know below the last."""
    shown = [table for table in export.tables if not table.name.down]
    notes = _notes(export)
    return tuple(
        Table(
            f"{export.out / table.path}\n{pairs(table.problem)}",
            _COLUMNS,
            tuple(_cells(tokens, row) for tokens, row in table.rows.items()),
            notes if table is shown[-1] else (),
        )
        for table in shown
    )


def export_record(export: Export) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "engine": export.engine.name,
        "device": export.device.slug,
        "out": str(export.out),
        "variable": export.engine.variable,
        "files": [_file_record(table, export.out) for table in export.tables],
        "notes": list(_notes(export)),
    }


def _file_record(table: ExportedTable, out: Path) -> dict[str, Any]:
    origins = {str(tokens): row.origin for tokens, row in table.rows.items()}
    return {"path": str(out / table.path), "problem": dict(table.problem), "rows": origins}


def _cells(tokens: int, row: ExportedRow) -> tuple[str, ...]:
    if row.winner is None:
        return (str(tokens), pairs(row.config), row.origin, "", "")
    about = "" if row.origin == "measured" else "~"
    default = row.winner.default_time_us
    speedup = (
        "kept"
        if row.winner.kept_default
        else "ahead"
        if row.origin == "modelled"
        else f"{about}{default / row.winner.time_us:.2f}x"
        if default
        else "-"
    )
    return (str(tokens), pairs(row.config), row.origin, f"{about}{row.winner.time_us:.3g}", speedup)


def _notes(export: Export) -> tuple[str, ...]:
    origins = Counter(row.origin for table in export.tables for row in table.rows.values())
    notes = (
        *([f"warning: {MODELLED}"] if origins["modelled"] else []),
        *(note for winners in export.winners for note in (*_missing(winners), *_changed(winners, export))),
        *(note for table in export.tables for note in (*_mixed(table), *_read(table, export))),
        *(note for table in export.tables for note in _replaced(table, export)),
        f"Load them with {export.engine.variable}={export.out}; where each row comes from is in "
        f"{export.out / 'provenance.json'}.",
    )
    return tuple(dict.fromkeys(notes))


def _missing(winners: ProblemWinners) -> list[str]:
    if not winners.without_variant:
        return []
    tokens = ", ".join(map(str, winners.without_variant))
    return [
        f"warning: {winners.path.stem}: the winners for {tokens} tokens fuse the activation, which no engine's kernel "
        "does, and keep no other config; these rows are pinned to the engine's default."
    ]


def _mixed(table: ExportedTable) -> list[str]:
    if len(table.triton) < 2:
        return []
    return [f"warning: {table.path.name}: rows tuned with Triton {' and '.join(table.triton)}."]


def _changed(winners: ProblemWinners, export: Export) -> list[str]:
    hashes = {row.run.source_hash for row in winners.rows.values()}
    current = export.source_hash(winners.file.problem)
    if current is None or hashes <= {current}:
        return []
    return [
        f"warning: {winners.path.stem}: the kernel's source has changed since some of its rows were tuned."
    ]


def _read(table: ExportedTable, export: Export) -> list[str]:
    dtype, largest = str(table.problem["dtype"]), max(table.rows)
    found = table_use(export.engine.name, dtype, export.device.compute_capability, largest)
    if found.answer == "yes":
        return []
    remedy = f"; {found.remedy}" if found.remedy else ""
    title = export.engine.title
    return [f"warning: {title} may not read {table.path.name}: {found.backend}, {found.why}{remedy}."]


def _replaced(table: ExportedTable, export: Export) -> list[str]:
    """A folder of the user's own comes before the package's, so pinned rows hide shipped ones."""
    if export.shipped is None or not list(export.shipped.rglob(glob_escape(table.path.name))):
        return []
    return [
        f"warning: {export.engine.title} ships a table {table.path.name}; this one hides it, also where it is pinned "
        "to the default. Sweep with its rows as seeds (`import`) to beat them."
    ]
