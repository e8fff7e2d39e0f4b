"""Bench rows as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.base.text import brief
from workbench.bench.figures import Figure
from workbench.bench.rows import BenchRow
from workbench.report.table import Column, Table

_FIGURES = {
    "ttft_p50_ms": "TTFT p50 ms",
    "tpot_p50_ms": "TPOT p50 ms",
    "tpot_p99_ms": "p99 ms",
    "output_tokens_per_s": "output tokens/s",
    "tokens_per_s_per_user": "tokens/s/user",
    "acceptance_length": "accepted",
}
_WINDOWS = {
    "run": "accepted: tokens a step, counted over the run alone.",
    "server_start": "accepted (*): tokens a step since the server started, not over the run alone.",
}
SPREAD = "Below a figure its 95 % interval, where the result says enough for one."
FAILED = "Some requests failed: the figures are of those that did not."
NO_DEVICE = "The GPU is not known; engine results do not name it: --device."


def bench_table(rows: Sequence[BenchRow], title: str, more: Sequence[str] = ()) -> Table:
    """A line a row, with a second one for the intervals.

    Args:
        rows: at least one.
        title: printed above.
        more: notes after the table's own.
    """
    columns = (
        Column("arm"),
        Column("model"),
        Column("load"),
        Column("in/out", "right"),
        Column("requests", "right"),
        *(Column(heading, "right") for heading in _FIGURES.values()),
        Column("status"),
    )
    lines = tuple(line for row in rows for line in _lines(row))
    return Table(title, columns, lines, (*_notes(rows), *more))


def _lines(row: BenchRow) -> list[tuple[str, ...]]:
    figures = [row.metrics.get(name) for name in _FIGURES]
    about = (brief(row.arm, 40), brief(row.model or "unknown", 40), _load(row), _lengths(row), _requests(row))
    values = [_value(figure) for figure in figures]
    if row.acceptance_window == "server_start" and values[-1] != "-":
        values[-1] += "*"
    status = row.status if row.reason is None else f"{row.status}: {brief(row.reason, 80)}"
    intervals = [_interval(figure) for figure in figures]
    lines = [(*about, *values, status)]
    return [*lines, ("",) * len(about) + (*intervals, "")] if any(intervals) else lines


def _load(row: BenchRow) -> str:
    concurrency = "unbounded" if row.concurrency is None else f"x{row.concurrency}"
    rate = "" if row.request_rate in (None, "inf") else f" at {row.request_rate}/s"
    return f"{brief(row.workload, 30) + ' ' if row.workload else ''}{concurrency}{rate}"


def _lengths(row: BenchRow) -> str:
    lengths = (row.input_tokens, row.output_tokens)
    return "/".join("-" if length is None else f"{length:.0f}" for length in lengths)


def _requests(row: BenchRow) -> str:
    failed = f" ({row.failed} failed)" if row.failed else ""
    return "-" if row.completed is None else f"{row.completed}{failed}"


def _value(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:.4g}"


def _interval(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return ""
    return f"{figure.interval[0]:.4g}..{figure.interval[1]:.4g}"


def _notes(rows: Sequence[BenchRow]) -> list[str]:
    windows = {row.acceptance_window for row in rows}
    has_interval = any(figure.interval for row in rows for figure in row.metrics.values())
    notes = [SPREAD] if has_interval else []
    notes += [note for window, note in _WINDOWS.items() if window in windows]
    notes += [FAILED] if any(row.failed and row.completed for row in rows) else []
    return notes + ([NO_DEVICE] if any(row.device == "unknown" for row in rows) else [])


def bench_records(rows: Sequence[BenchRow], files: Sequence[Path]) -> dict[str, Any]:
    """The rows for machines, and where they were written."""
    return {"files": [str(path) for path in files], "rows": [asdict(row) for row in rows]}
