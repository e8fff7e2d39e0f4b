"""Trace summaries as entries: a step of the trace, over its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workbench.compare.entry import Entry, GateMetric
from workbench.compare.log_estimates import LogEstimate, of_samples
from workbench.timeline.analysis import analyse_file
from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.record import SummaryRecord, read_summary, summary_record
from workbench.timeline.rules import load_rules
from workbench.timeline.spread import Spread
from workbench.timeline.summary import summarise

METRICS = (
    GateMetric(name="step_us", counts=True),
    GateMetric(name="busy_us", counts=True),
    GateMetric(name="period_us"),
    GateMetric(name="launches"),
    *(GateMetric(name=f"{name}_us", shown=name in ("routing", "experts", "attention")) for name in CLASSES),
)


def read(path: Path) -> tuple[Entry, ...]:
    """The trace of a summary's JSON.

    Raises:
        InputError: it is no such file.
    """
    return (entry_of(read_summary(path), {}),)


def read_raw(path: Path) -> tuple[Entry, ...]:
    """The trace as the profiler wrote it.

    Raises:
        InputError: it is no trace of GPU work.
    """
    return (entry_of(summary_record(summarise(analyse_file(path, load_rules()))), {}),)


def entry_of(summary: SummaryRecord, key: Mapping[str, str]) -> Entry:
    """The entry of a summary."""
    return Entry(
        key=key,
        facts={
            "device": ", ".join(summary.device_names) or None,
            "basis": summary.basis,
            "layers": None if summary.layers.count is None else str(summary.layers.count),
        },
        figures=dict(_figures(summary)),
        failures=() if summary.basis == "cpu" else tuple(_flaws(summary)),
        # A trace of CPU ops is never reliable as one of a GPU; it still compares with another such.
        notes=("the times are of CPU ops, not of a GPU",) if summary.basis == "cpu" else (),
        kernels={each.name: each.launches_per_step for each in summary.kernels},
    )


def _flaws(summary: SummaryRecord) -> Iterator[str]:
    yield from (f"not reliable: {reason}" for reason in summary.reasons)
    if not summary.reliable and not summary.reasons:
        yield "not reliable"


def _figures(summary: SummaryRecord) -> Iterator[tuple[str, LogEstimate]]:
    per_step, steps = summary.per_step, summary.steps
    yield "step_us", _estimate([step.span_us for step in steps], per_step.span_us)
    yield "busy_us", _estimate([step.busy_us for step in steps], per_step.busy_us)
    if per_step.period_us:
        yield "period_us", of_spread(per_step.period_us)
    yield "launches", LogEstimate(sum(each.launches for each in per_step.classes), error=0.0)
    for each in per_step.classes:
        times = [next((one.time_us for one in step.classes if one.name == each.name), 0.0) for step in steps]
        yield f"{each.name}_us", _estimate(times, each.time_us)


def _estimate(steps: Sequence[float], spread: Spread) -> LogEstimate:
    return of_samples(steps) if len(steps) == spread.count else of_spread(spread)


def of_spread(spread: Spread) -> LogEstimate:
    """Of several observations only the outer ones and the middle one are known: taken for all that there are."""
    known = {1: [spread.median], 2: [spread.low, spread.high]}
    return of_samples(known.get(spread.count, [spread.low, spread.median, spread.high]))
