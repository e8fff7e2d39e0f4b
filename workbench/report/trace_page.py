"""The timeline page: one HTML file that needs no network and lets nothing in a trace become markup or script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.report import page
from workbench.report.table import Table
from workbench.report.trace_cells import percent, us
from workbench.report.trace_diff import diff_classes_table, step_table
from workbench.report.trace_summary import CPU_NOTE, classes_table, kernels_table, of_arm
from workbench.timeline.chrome import TimelineArm
from workbench.timeline.diff import compare
from workbench.timeline.page import timeline_record
from workbench.timeline.summary import Summary, summarise

_KERNELS = 12


def page_record(
    arms: Sequence[TimelineArm], steps: Sequence[int], *, differences: bool = True, notes: Sequence[str] = ()
) -> Mapping[str, Any]:
    """All that the page shows: the timeline and the tables beside it.

    Args:
        arms: with one step each.
        steps: the number of that step in each trace.
        differences: whether what changed between the arms is shown.
        notes: lines that stand with every arm.
    """
    summaries = [summarise(arm.analysis) for arm in arms]
    timeline = timeline_record(arms)
    facts = [_facts(*each) for each in zip(summaries, steps, strict=True)]
    drawn = [
        {**arm, **fact, "facts": [*fact["facts"], *notes]}
        for arm, fact in zip(timeline["arms"], facts, strict=True)
    ]
    compared = _differences(arms, summaries) if differences else []
    beside = [*compared, *_each(arms, summaries, classes_table)]
    below = _each(arms, summaries, lambda summary: kernels_table(summary, _KERNELS))
    return {**timeline, "arms": drawn, "beside": beside, "below": below}


def page_html(record: Mapping[str, Any]) -> str:
    """The page, whole."""
    return page.page_html("timeline", record)


def _facts(summary: Summary, step: int) -> Mapping[str, Any]:
    shown = summary.steps[step]
    layers = summary.layers
    lines = [
        f"step {step} of {len(summary.steps)}: {us(shown.span_us)} us, busy {us(shown.busy_us)} us, "
        f"{shown.kernel_count:,} kernels",
        f"{layers.count or 'unknown'} layers ({layers.source})",
        f"{percent(summary.gaps.idle_share)} of the trace idle",
        *([CPU_NOTE] if summary.basis == "cpu" else []),
    ]
    return {"file": summary.file, "facts": lines, "reasons": list(summary.reasons)}


def _differences(arms: Sequence[TimelineArm], summaries: Sequence[Summary]) -> list[Mapping[str, Any]]:
    first = summaries[0]
    tables = []
    for arm, summary in zip(arms[1:], summaries[1:], strict=True):
        diff = compare(first, summary)
        title = f"{arms[0].name} (A) → {arm.name} (B)"
        tables.append(_table(replace(step_table(diff), title=title)))
        tables.append(_table(replace(diff_classes_table(diff), title=f"{title}, by class")))
    return tables


def _each(arms: Sequence[TimelineArm], summaries: Sequence[Summary], make: Any) -> list[Mapping[str, Any]]:
    pairs = zip(arms, summaries, strict=True)
    return [_table(of_arm(arm.name, make(summary))) for arm, summary in pairs]


def _table(table: Table) -> Mapping[str, Any]:
    return {
        "title": table.title,
        "headings": [column.heading for column in table.columns],
        "right": [column.justify == "right" for column in table.columns],
        "rows": table.rows,
        "notes": table.notes,
    }
