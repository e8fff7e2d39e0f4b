"""What was exported for an engine, row by row: what `export` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.devices.device import Device
from workbench.integrations.engines import Engine
from workbench.integrations.engines.backends import reading
from workbench.integrations.export import ExportedRow, ExportedTable
from workbench.integrations.results import ProblemWinners
from workbench.report.table import Column, Table
from workbench.report.winners import pairs

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


def export_tables(
    engine: Engine,
    tables: Sequence[ExportedTable],
    winners: Sequence[ProblemWinners],
    device: Device,
    out: Path,
) -> tuple[Table, ...]:
    """A table a file that was written, with what to know below the last.

    Args:
        engine: who will load them.
        tables: what was written.
        winners: what they come from.
        device: the GPU.
        out: the folder.
    """
    notes = _notes(engine, tables, winners, device, out)
    shown = [table for table in tables if not table.name.down]
    return tuple(
        Table(
            f"{out / table.path}\n{pairs(table.problem)}",
            _COLUMNS,
            tuple(_cells(tokens, row) for tokens, row in table.rows.items()),
            notes if table is shown[-1] else (),
        )
        for table in shown
    )


def export_record(
    engine: Engine,
    tables: Sequence[ExportedTable],
    winners: Sequence[ProblemWinners],
    device: Device,
    out: Path,
) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "engine": engine.name,
        "device": device.slug,
        "out": str(out),
        "variable": engine.variable,
        "files": [_file_record(table, out) for table in tables],
        "notes": list(_notes(engine, tables, winners, device, out)),
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
        else f"{about}{default / row.winner.time_us:.2f}x"
        if default
        else "-"
    )
    return (str(tokens), pairs(row.config), row.origin, f"{about}{row.winner.time_us:.3g}", speedup)


def _notes(
    engine: Engine,
    tables: Sequence[ExportedTable],
    winners: Sequence[ProblemWinners],
    device: Device,
    out: Path,
) -> tuple[str, ...]:
    origins = Counter(row.origin for table in tables for row in table.rows.values())
    return (
        *([f"warning: {MODELLED}"] if origins["modelled"] else []),
        *(note for each in winners for note in _missing(each)),
        *(note for table in tables for note in _mixed(table)),
        *dict.fromkeys(note for table in tables for note in _read(engine, table, device)),
        f"Load them with {engine.variable}={out}; where each row comes from is in {out / 'provenance.json'}.",
    )


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


def _read(engine: Engine, table: ExportedTable, device: Device) -> list[str]:
    largest = max(table.rows)
    found = reading(engine.name, str(table.problem["dtype"]), device.compute_capability, largest)
    if found.answer == "yes":
        return []
    remedy = f"; {found.remedy}" if found.remedy else ""
    return [f"warning: {engine.title} may not read {table.path.name}: {found.backend}, {found.why}{remedy}."]
