"""A comparison as a finding, tables and a record for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.base.text import brief
from workbench.compare.comparison import SCHEMA, Comparison, Judged
from workbench.report.table import Column, Table

_LISTED = 12
INTERVALS = "In brackets 95 % intervals, which hold for all figures that count together."
UNRESOLVED = "unresolved: within its limit, or no change at all lies within its interval; nothing is proven."


def finding(comparison: Comparison) -> str:
    """What was found, in one line."""
    parts = []
    if comparison.failures:
        parts.append(f"{_count(len(comparison.failures), 'check')} failed")
    if comparison.regressions:
        parts.append(f"{_count(len(comparison.regressions), 'figure')} of {len(comparison.judged)} got worse")
    if comparison.missing_fails and comparison.missing:
        parts.append(f"{_count(len(comparison.missing), 'row')} missing in B")
    if comparison.unresolved_fails and comparison.unresolved:
        parts.append(comparison.what_would_tell)
    if parts:
        return f"FAILED, {', '.join(parts)}."
    if comparison.void:
        return f"NOTHING PROVEN, {comparison.void}."
    return f"{_passed(comparison)}."


def _passed(comparison: Comparison) -> str:
    judged, better = len(comparison.judged), len(comparison.improvements)
    if not judged:
        return "Nothing differs, and nothing was judged"
    unresolved = len(comparison.unresolved)
    if unresolved == judged:
        return f"Nothing differs in {_count(judged, 'figure')}, which are too noisy to tell more"
    told = f"No regression in {_count(judged - unresolved, 'figure')}"
    told += f", {better} better" if better else ""
    return told + (f"; {unresolved} more too noisy to tell" if unresolved else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(figure: Judged) -> str:
    """A figure in words: `T=8: time_us +3.1 % (+2.0 % .. +4.2 %), limit 2 %`."""
    return f"{figure.label}: {figure.metric} {change_text(figure)}, limit {_percent(figure.limit)}"


def change_text(figure: Judged) -> str:
    """The change with its interval."""
    if figure.change is None:
        return "-"
    if figure.low is None or figure.high is None:
        return _signed(figure.change)
    return f"{_signed(figure.change)} ({_signed(figure.low)} .. {_signed(figure.high)})"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %" if abs(fraction) < 100 else f"{100 * fraction:+.3g} %"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g} %"


def compare_tables(comparison: Comparison, *, top: int = 30, full: bool = False) -> tuple[Table, ...]:
    """The finding with the checks that failed, the figures, and the rows of one side alone.

    Args:
        comparison: what was found.
        top: the most figures listed.
        full: lists every figure, those that are neither judged nor shown among them.
    """
    figures = [each for each in comparison.figures if full or _is_listed(each)]
    tables = [_checks_table(comparison), _figures_table(figures, comparison, None if full else top)]
    lost = [("A", comparison.missing), ("B", comparison.added)]
    if any(labels for _, labels in lost):
        tables.append(_lone_table([(side, label) for side, labels in lost for label in labels]))
    return tuple(tables)


def _is_listed(figure: Judged) -> bool:
    """Whether a table has it by itself: not what a model says the same of on both sides."""
    return figure.shown and (figure.verdict != "not timed" or figure.a != figure.b)


def _checks_table(comparison: Comparison) -> Table:
    rows = (
        *(("FAILED", brief(line, 160)) for line in comparison.failures),
        *(("A failed", brief(line, 160)) for line in comparison.unfit),
        *(("worse", sentence(each)) for each in comparison.regressions[:_LISTED]),
    )
    return Table(
        title=finding(comparison),
        columns=(Column("check", style="bold"), Column("what")) if rows else (),
        rows=rows,
        notes=tuple(_more(len(comparison.regressions) - _LISTED)),
    )


def _more(hidden: int) -> Iterator[str]:
    if hidden > 0:
        yield f"and {hidden} more."


def _figures_table(figures: Sequence[Judged], comparison: Comparison, top: int | None) -> Table:
    listed = figures[:top]
    return Table(
        title=f"{', '.join(comparison.kinds)}: {brief(comparison.a, 60)} (A) → {brief(comparison.b, 60)} (B)",
        columns=()
        if not listed
        else (
            Column("verdict", style="bold"),
            Column("what"),
            Column("figure"),
            Column("A", "right"),
            Column("B", "right"),
            Column("change", "right"),
            Column("better"),
            Column("limit", "right"),
        ),
        rows=tuple(map(_row, listed)),
        notes=tuple(_notes(comparison, listed)),
    )


def _row(figure: Judged) -> tuple[str, ...]:
    about = "~" if figure.verdict == "not timed" else ""
    words = {"regression": "REGRESSION" if figure.counts else "worse", "improvement": "better"}
    return (
        words.get(figure.verdict, figure.verdict),
        figure.label,
        figure.metric,
        *("" if value is None else f"{about}{_number(value)}" for value in (figure.a, figure.b)),
        change_text(figure),
        figure.better,
        _percent(figure.limit) if figure.counts else "only printed",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _notes(comparison: Comparison, listed: Sequence[Judged]) -> Iterator[str]:
    if hidden := len(comparison.figures) - len(listed):
        yield f"{hidden:,} more figures: --all."
    if any(each.low is not None for each in listed):
        yield INTERVALS
    if any(each.verdict == "unresolved" for each in listed):
        yield UNRESOLVED
    yield from comparison.notes


def _lone_table(rows: Sequence[tuple[str, str]]) -> Table:
    hidden = len(rows) - _LISTED
    return Table(
        title="Rows of one side alone",
        columns=(Column("only in", style="bold"), Column("what")),
        rows=tuple(rows[:_LISTED]),
        notes=(f"{hidden} more: --json.",) if hidden > 0 else (),
    )


def compare_record(comparison: Comparison) -> dict[str, Any]:
    """The comparison for machines; changes and limits as fractions."""
    fields = dataclasses.asdict(comparison)
    return {
        "schema": SCHEMA,
        "passed": not comparison.failed and comparison.void is None,
        "finding": finding(comparison),
        "judged": len(comparison.judged),
        "regressions": [sentence(each) for each in comparison.regressions],
        **fields,
    }
