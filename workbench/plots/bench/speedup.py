"""How much faster each arm is than the baseline, with the 1.0 line and crossovers.

By tokens that a decode step computes, concurrency * (1 + draft tokens), where all arms draft alike; otherwise by
concurrency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from workbench.bench.figures import Figure as Measured
from workbench.bench.figures import of_repeats
from workbench.bench.metrics import METRICS, Metric
from workbench.plots.bench.arms import Arm, Comparison, Point
from workbench.plots.bench.curves import AXIS
from workbench.plots.save import Plot
from workbench.plots.style import MARKERS, Heading, Theme, arm_colours, frame, log2_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = ("tpot_p50_ms", "output_tokens_per_s")
Verdict = Literal["faster", "slower", "not told apart"]


@dataclass(frozen=True, slots=True)
class Ratio:
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
class Speedup:
    """One arm against the baseline.

    Attributes:
        arm: the arm.
        ratios: by rising tokens.
        geometric_mean: over them.
        crossovers: tokens at which the line between two ratios passes 1.
    """

    arm: str
    ratios: tuple[Ratio, ...]
    geometric_mean: float
    crossovers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric.

    Attributes:
        metric: the metric.
        speedups: one an arm that shares a load with the baseline.
    """

    metric: Metric
    speedups: tuple[Speedup, ...]


@dataclass(frozen=True, slots=True)
class SpeedupInfo:
    """What the plot shows.

    Attributes:
        panels: one a metric.
        arms: every arm, the baseline first.
        baseline: what 1.0 stands for.
        axis: what x is.
        heading: what stands around it.
    """

    panels: tuple[Panel, ...]
    arms: tuple[str, ...]
    baseline: str
    axis: str
    heading: Heading


def collect_speedup(comparison: Comparison) -> SpeedupInfo | None:
    """Divides every arm by the baseline; None where no arm shares a load with it."""
    baseline, others = comparison.arms[0], comparison.arms[1:]
    drafted = {point.draft_tokens for arm in comparison.arms for point in arm.points}
    tokens = 1 + (drafted.pop() or 0) if len(drafted) == 1 and None not in drafted else None
    panels = tuple(
        Panel(
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


def _speedup(arm: Arm, baseline: Arm, metric: Metric, tokens: int) -> Speedup | None:
    known = {point.concurrency: point for point in baseline.having(metric.name)}
    shared = [
        (point, known[point.concurrency]) for point in arm.having(metric.name) if point.concurrency in known
    ]
    ratios = tuple(_ratio(point, base, metric, tokens) for point, base in shared)
    if not ratios:
        return None
    mean = math.exp(sum(math.log(ratio.value) for ratio in ratios) / len(ratios))
    return Speedup(arm.name, ratios, mean, _crossovers(ratios))


def _ratio(point: Point, base: Point, metric: Metric, tokens: int) -> Ratio:
    figure, reference = point.figures[metric.name], base.figures[metric.name]
    above, below = (reference, figure) if metric.better == "lower" else (figure, reference)
    value, interval = _divided(above, below)
    repeated = figure.spread == reference.spread == "bootstrap"
    verdict: Verdict = "not told apart"
    if repeated and interval is not None and not interval[0] <= 1.0 <= interval[1]:
        verdict = "faster" if value > 1 else "slower"
    return Ratio(point.concurrency * tokens, value, interval, verdict)


def _divided(above: Measured, below: Measured) -> tuple[float, tuple[float, float] | None]:
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


def _crossovers(ratios: Sequence[Ratio]) -> tuple[float, ...]:
    """Where straight lines between ln(ratio) over ln(tokens) pass 0."""
    found = []
    for one, other in pairwise(ratios):
        rise = math.log(one.value), math.log(other.value)
        if rise[0] * rise[1] < 0:
            share = rise[0] / (rise[0] - rise[1])
            found.append(math.exp(math.log(one.tokens) + share * math.log(other.tokens / one.tokens)))
    return tuple(found)


def _title(panel: Panel, baseline: str) -> str:
    best = max(panel.speedups, key=lambda each: each.geometric_mean)
    times, count = f"{best.geometric_mean:.3f}x", len(best.ratios)
    told = sum(ratio.verdict != "not told apart" for ratio in best.ratios)
    loads = f"geometric mean of {count} loads, {told} told apart" if count > 1 else "one load"
    return f"{best.arm} is {times} as fast as {baseline} in {panel.metric.phrase} ({loads})"


def speedup_plot(info: SpeedupInfo) -> Plot:
    """The plot of what was collected: a panel a metric."""
    height = 4.4 + 0.16 * (len(info.heading.notes) + len(info.arms))
    return Plot(
        "speedup", (5.0 * len(info.panels), height), lambda figure, theme: draw_speedup(info, figure, theme)
    )


def draw_speedup(info: SpeedupInfo, figure: Figure, theme: Theme) -> None:
    """Draws a line an arm in each panel, the baseline as the line at 1.0."""
    frame(figure, info.heading, theme)
    panels = figure.subplots(1, len(info.panels), squeeze=False)
    for axes, panel in zip(panels.flat, info.panels, strict=True):
        _draw_panel(axes, panel, info, theme)


def _draw_panel(axes: Axes, panel: Panel, info: SpeedupInfo, theme: Theme) -> None:
    colours = arm_colours(info.arms, info.baseline, theme)
    axes.axhline(1.0, color=theme.baseline, linewidth=1.6, label=f"{info.baseline} (1.0)")
    for speedup in panel.speedups:
        marker = MARKERS[info.arms.index(speedup.arm) % len(MARKERS)]
        _draw_speedup(axes, speedup, colours[speedup.arm], marker, theme)
    log2_ticks(axes, [ratio.tokens for speedup in panel.speedups for ratio in speedup.ratios])
    axes.set_xlabel(info.axis)
    axes.set_title(panel.metric.title, loc="left")
    axes.set_ylabel(f"speed-up over {info.baseline} (ratio, higher is better)")
    axes.margins(y=0.2)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13))


def _draw_speedup(axes: Axes, speedup: Speedup, colour: str, marker: str, theme: Theme) -> None:
    tokens = [ratio.tokens for ratio in speedup.ratios]
    label = f"{speedup.arm}: {speedup.geometric_mean:.3f}x (geometric mean, n = {len(tokens)})"
    axes.plot(tokens, [ratio.value for ratio in speedup.ratios], color=colour, linewidth=1.4, label=label)
    for ratio in speedup.ratios:
        low, high = ratio.interval or (ratio.value, ratio.value)
        axes.errorbar(
            [ratio.tokens],
            [ratio.value],
            yerr=([max(ratio.value - low, 0)], [max(high - ratio.value, 0)]),
            color=colour,
            marker=marker,
            markersize=6,
            markerfacecolor=theme.background if ratio.verdict == "not told apart" else colour,
            capsize=2.5,
            elinewidth=1.2,
        )
    for crossover in speedup.crossovers:
        axes.axvline(crossover, color=colour, linestyle=":", linewidth=1.2)
        below = axes.get_xaxis_transform()
        axes.text(crossover, 0.01, f" {crossover:.3g}", transform=below, size=7, color=colour, va="bottom")
