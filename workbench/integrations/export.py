"""Winners as the tables that an engine loads, and where each of their rows comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from moe_kernels.tunable import Problem
from workbench.base.errors import InputError
from workbench.base.files import write_together
from workbench.devices.device import Device
from workbench.integrations.engine_winners import EngineRow, ProblemWinners
from workbench.integrations.engines import LADDER, Config, Engine, TableName
from workbench.integrations.engines.engine import default_changes

SCHEMA = "workbench.export/1"
PROVENANCE = PurePosixPath("provenance.json")
PINNED = "engine default"


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """One row of an exported table.

    Attributes:
        config: as the file has it.
        winner: what it comes from; None where the row is pinned to the engine's default.
    """

    config: Config
    winner: EngineRow | None

    @property
    def origin(self) -> str:
        """`measured`, `modelled`, or that the engine's default is pinned."""
        return self.winner.evidence if self.winner else PINNED


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTable:
    """One exported table.

    Attributes:
        path: below the exported folder.
        problem: whose winners it holds.
        source: the results file.
        triton: the Triton versions of its rows.
        rows: by token count, ascending.
    """

    path: PurePosixPath
    name: TableName
    problem: Problem
    source: Path
    triton: tuple[str, ...]
    rows: Mapping[int, ExportedRow]


def make_tables(
    engine: Engine, winners: Sequence[ProblemWinners], device: Device
) -> tuple[ExportedTable, ...]:
    """Turns the winners of a device into an engine's tables.

    Args:
        engine: who will load them.
        winners: a problem each.
        device: the GPU, for what the engine's default depends on.

    Raises:
        InputError: the engine has no table for a problem, or one file name for two of them.
    """
    tables = [table for each in winners for table in _tables_of(engine, each, device)]
    for _, group in groupby(sorted(tables, key=_file), key=_file):
        _check_alone(engine, tuple(group))
    return tuple(tables)


def write_tables(engine: Engine, tables: Sequence[ExportedTable], device_name: str, out: Path) -> None:
    """Writes tables and their provenance, all of them or none.

    Raises:
        InputError: a file cannot be written.
    """
    texts = {out / table.path: table_text(table) for table in tables}
    write_together(
        {**texts, out / PROVENANCE: json.dumps(_provenance(engine, tables, device_name), indent=1) + "\n"}
    )


def table_text(table: ExportedTable) -> str:
    """A table as the engine reads it: integers as keys, ascending, and nothing beside the rows."""
    rows = {str(tokens): row.config for tokens, row in sorted(table.rows.items())}
    return json.dumps(rows, indent=4) + "\n"


def _file(table: ExportedTable) -> str:
    return table.path.name


def _check_alone(engine: Engine, tables: Sequence[ExportedTable]) -> None:
    """One problem may have a table a Triton version, but no two problems the same name."""
    sources = list(dict.fromkeys(table.source for table in tables))
    if len(sources) > 1:
        problems = " and ".join(source.stem for source in sources[:2])
        raise InputError(
            f"{problems} would share {engine.title}'s file {tables[0].path.name}, whose name does not tell them "
            "apart; choose one with --problem",
            file=sources[0],
        )


def _tables_of(engine: Engine, winners: ProblemWinners, device: Device) -> Iterator[ExportedTable]:
    problem = winners.file.problem
    try:
        name = engine.table_name(problem, winners.file.device_name)
        folders = _by_folder(engine, winners.rows)
    except InputError as error:
        raise InputError(error.message, file=winners.path, key=error.key) from None
    for folder, rows in folders.items():
        exported = _rows(engine, problem, rows, device)
        for each in engine.names(name):
            yield ExportedTable(
                path=folder / engine.file_name(each),
                name=each,
                problem=problem,
                source=winners.path,
                triton=tuple(sorted({triton_of(row) for row in rows.values()})),
                rows=exported,
            )


def _by_folder(engine: Engine, rows: Mapping[int, EngineRow]) -> dict[PurePosixPath, dict[int, EngineRow]]:
    folders: dict[PurePosixPath, dict[int, EngineRow]] = {}
    for tokens, row in rows.items():
        folders.setdefault(engine.folder(triton_of(row)), {})[tokens] = row
    return folders


def triton_of(row: EngineRow) -> str:
    """The Triton version that a row was tuned with."""
    return row.run.versions.get("triton", "")


def _rows(
    engine: Engine, problem: Problem, winners: Mapping[int, EngineRow], device: Device
) -> dict[int, ExportedRow]:
    rows: dict[int, ExportedRow] = {}
    for tokens in _rungs(winners, default_changes(engine, problem, device)):
        default = engine.default_config(problem, tokens, device)
        winner = winners.get(tokens)
        config = default if winner is None else engine.row(problem, _resolved(winner.config, default))
        rows[tokens] = ExportedRow(config, winner)
    return rows


def _resolved(config: Mapping[str, int], default: Config) -> Config:
    """A config with the engine's own choice where it says 0; what the default leaves to the engine is left to it."""
    return {key: value or default[key] for key, value in config.items() if value or key in default}


def _rungs(winners: Iterable[int], changes: Iterable[int]) -> list[int]:
    """The rows of a table: the winners', those of the engine's tuner, and what keeps its default as it is.

    The engine takes the nearest row. Where both neighbours of a change of its default are pinned, a row on either
    side of the change makes every batch between them get the default that it would get without a table.
    """
    won = set(winners)
    rungs = won.union(LADDER)
    for last in changes:
        below = max(rung for rung in rungs if rung <= last)
        above = min((rung for rung in rungs if rung > last), default=None)
        if below not in won and (above is None or above not in won):
            rungs |= {last, last + 1}
    return sorted(rungs)


def _provenance(engine: Engine, tables: Sequence[ExportedTable], device_name: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "engine": engine.name,
        "loader": f"{engine.title} {engine.version}",
        "device_name": device_name,
        "files": {str(table.path): _table_record(table) for table in tables},
    }


def _table_record(table: ExportedTable) -> dict[str, Any]:
    return {
        "problem": dict(table.problem),
        "results": "/".join(table.source.parts[-3:]),
        "rows": {str(tokens): _row_record(row) for tokens, row in table.rows.items()},
    }


def _row_record(row: ExportedRow) -> dict[str, Any]:
    if row.winner is None:
        return {"origin": PINNED}
    fields = asdict(row.winner)
    run = fields.pop("run")
    del fields["config"], fields["evidence"]
    about = {"date": run["date"], "source_hash": run["source_hash"], "versions": run["versions"]}
    return {"origin": row.origin, "timed": row.origin == "measured", **fields, **about}
