"""Trace summaries as entries: a step of the trace, over its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from workbench.base.errors import InputError
from workbench.compare.entry import Entry, Metric
from workbench.compare.reading import Reading, of_samples
from workbench.timeline.kernel_classes import KernelClass

METRICS = (
    Metric(name="step_us", counts=True),
    Metric(name="busy_us", counts=True),
    Metric(name="period_us"),
    Metric(name="launches"),
    *(
        Metric(name=f"{name}_us", shown=name in ("routing", "experts", "attention"))
        for name in get_args(KernelClass)
    ),
)


@dataclass(frozen=True, slots=True)
class SpreadRecord:
    """Median, least and most of `count` observations, as a summary's JSON holds them."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """A class of a single step."""

    name: str
    time_us: float


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A single step."""

    span_us: float
    busy_us: float
    classes: tuple[ClassRecord, ...]


@dataclass(frozen=True, slots=True)
class ClassPerStepRecord:
    """A class over the steps."""

    name: str
    launches: float
    time_us: SpreadRecord


@dataclass(frozen=True, slots=True)
class PerStepRecord:
    """A step, over all of them."""

    count: int
    span_us: SpreadRecord
    busy_us: SpreadRecord
    classes: tuple[ClassPerStepRecord, ...]
    period_us: SpreadRecord | None = None


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """A kernel."""

    name: str
    launches_per_step: float


@dataclass(frozen=True, slots=True)
class LayersRecord:
    """How many layers a step has."""

    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRecord:
    """What a gate needs of `trace summary --json`; the keys are that command's."""

    basis: str
    device_names: tuple[str, ...]
    reliable: bool
    reasons: tuple[str, ...]
    layers: LayersRecord
    per_step: PerStepRecord
    steps: tuple[StepRecord, ...]
    kernels: tuple[KernelRecord, ...]


def read(path: Path) -> tuple[Entry, ...]:
    """The trace of a summary's JSON.

    Raises:
        InputError: it is no such file.
    """
    return (entry_of(decode(path, SummaryRecord, "trace summary --json"), {}),)


def decode(path: Path, type_: Any, written_by: str) -> Any:
    """Reads a JSON file into dataclasses.

    Raises:
        InputError: it cannot be read, or is not what the command writes; names the key.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `")
        key = where.rstrip("`").removeprefix("$").lstrip(".") or None
        raise InputError(f"is not what `{written_by}` writes: {what}", file=path, key=key) from error


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


def _figures(summary: SummaryRecord) -> Iterator[tuple[str, Reading]]:
    per_step, steps = summary.per_step, summary.steps
    yield "step_us", _reading([step.span_us for step in steps], per_step.span_us)
    yield "busy_us", _reading([step.busy_us for step in steps], per_step.busy_us)
    if per_step.period_us:
        yield "period_us", of_spread(per_step.period_us)
    yield "launches", Reading(sum(each.launches for each in per_step.classes), error=0.0)
    for each in per_step.classes:
        times = [next((one.time_us for one in step.classes if one.name == each.name), 0.0) for step in steps]
        yield f"{each.name}_us", _reading(times, each.time_us)


def _reading(steps: Sequence[float], spread: SpreadRecord) -> Reading:
    return of_samples(steps) if len(steps) == spread.count else of_spread(spread)


def of_spread(spread: SpreadRecord) -> Reading:
    """Of several observations only the outer ones and the middle one are known: taken for all that there are."""
    known = {1: [spread.median], 2: [spread.low, spread.high]}
    return of_samples(known.get(spread.count, [spread.low, spread.median, spread.high]))
