"""TPOT, throughput and acceptance by arm and concurrency: a line an arm, with its spread and its failed runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.bench.figures import Figure
from workbench.bench.metrics import METRICS
from workbench.figures.bench.arms import ArmComparison
from workbench.figures.heading import Heading

# The metric of each plot, and the one that stands behind it in a thinner line.
CURVES = {
    "tpot": ("tpot_p50_ms", "tpot_p99_ms"),
    "ttft": ("ttft_p50_ms", "ttft_p99_ms"),
    "throughput": ("output_tokens_per_s", None),
    "acceptance": ("acceptance_length", None),
}


APART = "counted over different windows, not to be compared"
AXIS = "concurrency (requests in flight)"


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one arm.

    Attributes:
        x: concurrencies, rising.
        failed: concurrencies and statuses of failed runs.
    """

    arm: str
    metric: str
    x: tuple[float, ...]
    y: tuple[Figure, ...]
    failed: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class CurveInfo:
    """What a picture of it shows.

    Attributes:
        label: the y axis: title, unit, direction.
        lines: those of the main metric, an arm each.
        behind: those of the other metric, empty without one.
    """

    name: str
    label: str
    lines: tuple[Line, ...]
    behind: tuple[Line, ...]
    baseline: str
    ticks: tuple[float, ...]
    heading: Heading


def collect_curves(comparison: ArmComparison, name: str) -> CurveInfo | None:
    """Takes one metric of every arm; None where no arm has it."""
    metric, other = CURVES[name]
    lines = _lines(comparison, metric)
    if not any(line.x for line in lines):
        return None
    behind = tuple(line for line in _lines(comparison, other) if line.x) if other else ()
    label = METRICS[metric].axis_label
    if behind and other:
        label = f"{METRICS[metric].title} and {other.split('_')[1]} ({METRICS[metric].unit}, lower is better)"
    return CurveInfo(
        name=name,
        label=label,
        lines=lines,
        behind=behind,
        baseline=comparison.baseline,
        ticks=tuple(comparison.concurrencies),
        heading=Heading(
            _title(lines, metric)
            if _is_one_quantity(comparison, metric)
            else f"{METRICS[metric].title}: {APART}",
            comparison.subtitle,
            _notes(comparison, metric, bool(behind)),
        ),
    )


def _is_one_quantity(comparison: ArmComparison, metric: str) -> bool:
    """Whether a metric means the same in every arm."""
    windows = {arm.acceptance for arm in comparison.arms if arm.having(metric)}
    return metric != "acceptance_length" or len(windows) == 1


def _lines(comparison: ArmComparison, metric: str) -> tuple[Line, ...]:
    return tuple(
        Line(
            arm.name,
            metric,
            tuple(point.concurrency for point in arm.having(metric)),
            tuple(point.figures[metric] for point in arm.having(metric)),
            tuple((each.concurrency, each.status) for each in arm.failures if each.concurrency is not None),
        )
        for arm in comparison.arms
    )


def _title(lines: Sequence[Line], metric: str) -> str:
    """Which arm is best how often, where arms share a load; else the best there is."""
    about, sign = METRICS[metric], 1 if METRICS[metric].better == "lower" else -1
    by_load: dict[float, list[tuple[float, str, Figure]]] = {}
    for line in lines:
        for x, figure in zip(line.x, line.y, strict=True):
            by_load.setdefault(x, []).append((sign * figure.value, line.arm, figure))
    shared = [sorted(found, key=lambda each: each[:2]) for found in by_load.values() if len(found) > 1]
    if shared:
        return _compared(shared, f"{'lowest' if sign > 0 else 'highest'} {about.phrase}")
    value, arm, x = min((*each[:2], x) for x, found in by_load.items() for each in found)
    return f"{about.title}: {arm} reaches {sign * value:,.4g} {about.unit} at concurrency {x:g}"


def _compared(ranked: Sequence[Sequence[tuple[float, str, Figure]]], best: str) -> str:
    """Says who leads only where that is told apart from the next; of single runs, that they are single."""
    repeated = [load for load in ranked if all(figure.spread == "bootstrap" for _, _, figure in load[:2])]
    leaders = [load[0][1] for load in repeated if _apart(load[0][2], load[1][2])]
    if repeated and not leaders:
        return f"No arm is told apart as the one with the {best}"
    told = leaders or [load[0][1] for load in ranked]
    arm = max(dict.fromkeys(told), key=told.count)
    single = "" if repeated else ", some of single runs"
    return f"{arm} has the {best} at {told.count(arm)} of {len(ranked)} concurrencies{single}"


def _apart(one: Figure, other: Figure) -> bool:
    """Whether two intervals have no point in common."""
    first, second = one.interval, other.interval
    return first is not None and second is not None and (first[1] < second[0] or second[1] < first[0])


def _notes(comparison: ArmComparison, metric: str, has_behind: bool) -> tuple[str, ...]:
    notes = comparison.notes(metric)
    if has_behind:
        notes = ("Solid: p50. Dotted: p99.", *notes)
    if metric == "acceptance_length":
        counted = (f"{arm.name}: counted {arm.acceptance}." for arm in comparison.arms if arm.acceptance)
        notes = (*counted, *notes)
    return notes
