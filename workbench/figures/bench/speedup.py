"""How much faster each arm is than the baseline, with the 1.0 line and crossovers.

By tokens that a decode step computes, concurrency * (1 + draft tokens), where all arms draft alike; otherwise by
concurrency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import geometric_mean
from typing import Literal

from workbench.bench.figures import Figure, of_repeats
from workbench.bench.metrics import METRICS, Metric
from workbench.figures.bench.arms import ArmComparison, ArmLoad, ComparedArm
from workbench.figures.bench.curves import AXIS
from workbench.figures.heading import Heading

PANELS = ("tpot_p50_ms", "output_tokens_per_s")
Verdict = Literal["faster", "slower", "not told apart"]


@dataclass(frozen=True, slots=True)
class SpeedupRatio:
    """One arm against the baseline at one load.

    Attributes:
        tokens: tokens a decode step, or the concurrency.
        value: above 1 where the arm is better.
        interval: of 95 %, None where nothing is known of the spread.
        verdict: whether the difference is told apart from none, which takes at least two runs of each.
    """

    tokens: float
    value: float
    interval: tuple[float, float] | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ArmSpeedup:
    """One arm against the baseline.

    Attributes:
        ratios: by rising tokens.
        crossovers: tokens at which the line between two ratios passes 1.
    """

    arm: str
    ratios: tuple[SpeedupRatio, ...]
    geometric_mean: float
    crossovers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SpeedupPanel:
    """One metric.

    Attributes:
        speedups: one an arm that shares a load with the baseline.
    """

    metric: Metric
    speedups: tuple[ArmSpeedup, ...]


@dataclass(frozen=True, slots=True)
class SpeedupInfo:
    """What a picture of it shows.

    Attributes:
        arms: every arm, the baseline first.
        baseline: what 1.0 stands for.
        axis: what x is.
    """

    panels: tuple[SpeedupPanel, ...]
    arms: tuple[str, ...]
    baseline: str
    axis: str
    heading: Heading


def collect_speedup(comparison: ArmComparison) -> SpeedupInfo | None:
    """Divides every arm by the baseline; None where no arm shares a load with it."""
    baseline, others = comparison.arms[0], comparison.arms[1:]
    drafted = {point.draft_tokens for arm in comparison.arms for point in arm.points}
    tokens = 1 + (drafted.pop() or 0) if len(drafted) == 1 and None not in drafted else None
    panels = tuple(
        SpeedupPanel(
            METRICS[name],
            tuple(filter(None, (_speedup(arm, baseline, METRICS[name], tokens or 1) for arm in others))),
        )
        for name in PANELS
    )
    panels = tuple(panel for panel in panels if panel.speedups)
    if not panels:
        return None
    notes = (
        f"1.0 is {comparison.baseline}. Filled: told apart from it. Hollow: inside the noise, or fewer than 2 runs. "
        "Dotted lines: crossovers.",
        *comparison.notes(panels[0].metric.name),
    )
    heading = Heading(_title(panels[0], comparison.baseline), comparison.subtitle, notes)
    axis = "tokens a decode step" if tokens else AXIS
    return SpeedupInfo(panels, tuple(arm.name for arm in comparison.arms), comparison.baseline, axis, heading)


def _speedup(arm: ComparedArm, baseline: ComparedArm, metric: Metric, tokens: int) -> ArmSpeedup | None:
    known = {point.concurrency: point for point in baseline.having(metric.name)}
    shared = [
        (point, known[point.concurrency]) for point in arm.having(metric.name) if point.concurrency in known
    ]
    ratios = tuple(_ratio(point, base, metric, tokens) for point, base in shared)
    if not ratios:
        return None
    mean = geometric_mean(ratio.value for ratio in ratios)
    return ArmSpeedup(arm.name, ratios, mean, _crossovers(ratios))


def _ratio(point: ArmLoad, base: ArmLoad, metric: Metric, tokens: int) -> SpeedupRatio:
    figure, reference = point.figures[metric.name], base.figures[metric.name]
    above, below = (reference, figure) if metric.better == "lower" else (figure, reference)
    value, interval = _divided(above, below)
    repeated = figure.spread == reference.spread == "bootstrap"
    verdict: Verdict = "not told apart"
    if repeated and interval is not None and not interval[0] <= 1.0 <= interval[1]:
        verdict = "faster" if value > 1 else "slower"
    return SpeedupRatio(point.concurrency * tokens, value, interval, verdict)


def _divided(above: Figure, below: Figure) -> tuple[float, tuple[float, float] | None]:
    """Interleaved repeats are divided pair by pair; else the ends of the two intervals bound the ratio."""
    if len(above.samples) == len(below.samples) > 1:
        paired = of_repeats([a / b for a, b in zip(above.samples, below.samples, strict=True)])
        return paired.value, paired.interval
    if above.interval is None or below.interval is None or below.interval[0] <= 0:
        return above.value / below.value, None
    return above.value / below.value, (
        above.interval[0] / below.interval[1],
        above.interval[1] / below.interval[0],
    )


def _crossovers(ratios: Sequence[SpeedupRatio]) -> tuple[float, ...]:
    """Where straight lines between ln(ratio) over ln(tokens) pass 0."""
    found = []
    for one, other in pairwise(ratios):
        rise = math.log(one.value), math.log(other.value)
        if rise[0] * rise[1] < 0:
            share = rise[0] / (rise[0] - rise[1])
            found.append(math.exp(math.log(one.tokens) + share * math.log(other.tokens / one.tokens)))
    return tuple(found)


def _title(panel: SpeedupPanel, baseline: str) -> str:
    best = max(panel.speedups, key=lambda each: each.geometric_mean)
    times, count = f"{best.geometric_mean:.3f}x", len(best.ratios)
    told = sum(ratio.verdict != "not told apart" for ratio in best.ratios)
    loads = f"geometric mean of {count} loads, {told} told apart" if count > 1 else "one load"
    return f"{best.arm} is {times} as fast as {baseline} in {panel.metric.phrase} ({loads})"
