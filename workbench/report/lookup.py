"""What a lookup takes and why: what `explain` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_kernels.tuned import Explanation, FileVerdict, RowVerdict
from workbench.base.text import pairs
from workbench.report.table import Column, Table
from workbench.report.winners import NOTHING_TIMED, config_text
from workbench.trials.winners import differing

_ANSWER = (Column("item", style="bold"), Column("value"))
_PLACES = (Column("looked in"), Column("file"), Column("found"))
_ROWS = (
    Column(""),
    Column("tokens", "right"),
    Column("config"),
    Column("evidence"),
    Column("time us", "right"),
    Column("usable"),
)

Default = Mapping[str, int | float | str]


def lookup_tables(explanation: Explanation, default: Default) -> tuple[Table, ...]:
    """The answer, the places that were looked in, and the rows of every file that was read.

    Args:
        explanation: as `moe_kernels.tuned.explain` returns it.
        default: the kernel's default config.
    """
    read = [file for file in explanation.files if file.rows]
    places = [_places_table(explanation)] if explanation.files else []
    tables = [_answer_table(explanation, default), *places]
    tables += [_rows_table(file, explanation, default) for file in read]
    if any(row.row.evidence == "modelled" for file in read for row in file.rows):
        tables[-1] = replace(tables[-1], notes=(NOTHING_TIMED,))
    return tuple(tables)


def _answer_table(explanation: Explanation, default: Default) -> Table:
    lines = (
        ("kernel", explanation.kernel),
        ("device", explanation.device or "none"),
        ("problem", f"{pairs(explanation.problem)}, {explanation.tokens} tokens"),
        ("admitted", _admitted(explanation)),
        ("source", explanation.source_hash or "cannot be read"),
        ("takes", _takes(explanation)),
        ("config", pairs(explanation.config)),
        ("differs", pairs(differing(explanation.config, default)) or "nothing: it is the default"),
        ("note", explanation.warning),
    )
    return Table("What a lookup takes", _ANSWER, tuple(line for line in lines if line[1]))


def _admitted(explanation: Explanation) -> str:
    return "measured and modelled rows" if explanation.evidence == "modelled" else "measured rows"


def _takes(explanation: Explanation) -> str:
    if explanation.taken is None:
        return explanation.why
    kept = " (nothing beat the default there)" if explanation.taken.row.kept_default else ""
    return f"{explanation.why}, {explanation.taken.row.evidence}{kept}"


def _places_table(explanation: Explanation) -> Table:
    rows = tuple((file.origin, str(file.path), _found(file)) for file in explanation.files)
    return Table("Where it looks, in order", _PLACES, rows)


def _found(file: FileVerdict) -> str:
    if file.state == "taken":
        usable = sum(row.usable for row in file.rows)
        return f"decides: {usable} of {len(file.rows)} rows usable"
    if file.state == "not reached":
        return "not reached"
    return f"{file.state}: {file.reason}" if file.reason else file.state


def _rows_table(file: FileVerdict, explanation: Explanation, default: Default) -> Table:
    rows = tuple(_row_cells(row, explanation, default) for row in file.rows)
    return Table(f"Rows of {file.path}", _ROWS, rows)


def _row_cells(verdict: RowVerdict, explanation: Explanation, default: Default) -> tuple[str, ...]:
    row = verdict.row
    return (
        "->" if verdict is explanation.taken else "",
        str(verdict.tokens),
        config_text(row.config, differing(row.config, default)),
        row.evidence,
        f"{'' if row.evidence == 'measured' else '~'}{row.time_us:.3g}",
        "yes" if verdict.usable else f"no: {verdict.reason}",
    )


def lookup_record(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON holds it."""
    taken = explanation.taken
    return {
        "kernel": explanation.kernel,
        "device": explanation.device,
        "problem": dict(explanation.problem),
        "tokens": explanation.tokens,
        "evidence_admitted": explanation.evidence,
        "source_hash": explanation.source_hash,
        "config": dict(explanation.config),
        "is_default": taken is None or taken.row.kept_default,
        "why": explanation.why,
        "warning": explanation.warning or None,
        "taken": None if taken is None else _row_record(taken),
        "files": [_file_record(file) for file in explanation.files],
    }


def _file_record(file: FileVerdict) -> dict[str, Any]:
    return {
        "origin": file.origin,
        "path": str(file.path),
        "state": file.state,
        "reason": file.reason or None,
        "rows": [_row_record(row) for row in file.rows],
    }


def _row_record(verdict: RowVerdict) -> dict[str, Any]:
    return {
        "tokens": verdict.tokens,
        "usable": verdict.usable,
        "reason": verdict.reason or None,
        "run": verdict.row.run,
        "config": dict(verdict.row.config),
        "evidence": verdict.row.evidence,
        "timed": verdict.row.evidence == "measured",
        "time_us": verdict.row.time_us,
        "default_time_us": verdict.row.default_time_us,
        "speedup": verdict.row.speedup,
        "kept_default": verdict.row.kept_default,
        "triton": verdict.triton,
    }
