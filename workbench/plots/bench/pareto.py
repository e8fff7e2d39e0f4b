"""What a user gets against what a GPU gives: tokens/s/user and tokens/s/GPU of every arm and load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.bench.figures import Figure as Measured
from workbench.bench.metrics import METRICS
from workbench.plots.bench.arms import Comparison
from workbench.plots.bench.curves import bars
from workbench.plots.save import Plot
from workbench.plots.style import MARKERS, Heading, Theme, arm_colours, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X, Y = METRICS["tokens_per_s_per_user"], METRICS["tokens_per_s_per_gpu"]


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """One arm at one concurrency.

    Attributes:
        arm: the arm.
        concurrency: requests in flight.
        user: tokens/s that a user sees.
        gpu: output tokens/s a GPU.
        optimal: True where no other point is better in both.
    """

    arm: str
    concurrency: float
    user: Measured
    gpu: Measured
    optimal: bool


@dataclass(frozen=True, slots=True)
class ParetoInfo:
    """What the plot shows.

    Attributes:
        points: by arm, then concurrency.
        arms: every arm, the baseline first.
        baseline: the arm that is grey.
        heading: what stands around it.
    """

    points: tuple[ParetoPoint, ...]
    arms: tuple[str, ...]
    baseline: str
    heading: Heading


def collect_pareto(comparison: Comparison) -> ParetoInfo | None:
    """Finds the points and which of them are optimal; None where no row has both metrics."""
    found = [
        (arm.name, point.concurrency, point.figures[X.name], point.figures[Y.name])
        for arm in comparison.arms
        for point in arm.having(X.name)
        if Y.name in point.figures
    ]
    if not found:
        return None
    optimal = frontier([(user.value, gpu.value) for _, _, user, gpu in found])
    points = tuple(ParetoPoint(*each, index in optimal) for index, each in enumerate(found))
    notes = (
        "Ringed and joined: no other point is better in both. Numbers: their concurrency. User: 1000 / TPOT p50 in ms.",
        *comparison.notes(X.name),
    )
    arms = tuple(arm.name for arm in comparison.arms)
    return ParetoInfo(points, arms, comparison.baseline, Heading(_title(points), comparison.subtitle, notes))


def frontier(points: Sequence[tuple[float, float]]) -> frozenset[int]:
    """The places of the points that no other point equals in one coordinate and exceeds in the other, or in both."""
    best = float("-inf")
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1])):
        if points[place][1] > best or (found and points[found[-1]] == points[place]):
            found.append(place)
            best = points[place][1]
    return frozenset(found)


def _title(points: Sequence[ParetoPoint]) -> str:
    optimal = [point.arm for point in points if point.optimal]
    counts = [(optimal.count(arm), arm) for arm in dict.fromkeys(optimal)]
    told = ", ".join(f"{count} of {arm}" for count, arm in sorted(counts, key=lambda each: -each[0]))
    return f"Points on the Pareto frontier: {told}"


def pareto_plot(info: ParetoInfo) -> Plot:
    """The plot of what was collected."""
    height = 5.0 + 0.16 * len(info.heading.notes)
    return Plot("pareto", (8.0, height), lambda figure, theme: draw_pareto(info, figure, theme))


def draw_pareto(info: ParetoInfo, figure: Figure, theme: Theme) -> None:
    """Draws every point with its concurrency, and joins those of the frontier."""
    frame(figure, info.heading, theme)
    axes = figure.subplots()
    colours = arm_colours(info.arms, info.baseline, theme)
    optimal = sorted((point.user.value, point.gpu.value) for point in info.points if point.optimal)
    axes.plot(*zip(*optimal, strict=True), color=theme.muted, linewidth=1.0, linestyle="--", label="frontier")
    for place, arm in enumerate(info.arms):
        points = [point for point in info.points if point.arm == arm]
        _draw_arm(axes, arm, points, colours[arm], MARKERS[place % len(MARKERS)])
    for point in (point for point in info.points if point.optimal):
        where = (point.user.value, point.gpu.value)
        axes.plot(*where, "o", markersize=11, markerfacecolor="none", color=theme.muted)
        axes.annotate(
            f"{point.concurrency:g}",
            where,
            xytext=(8, 5),
            textcoords="offset points",
            size=8,
            color=theme.text,
        )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(X.axis_label)
    axes.set_ylabel(Y.axis_label)
    axes.legend(loc="best")


def _draw_arm(axes: Axes, arm: str, points: Sequence[ParetoPoint], colour: str, marker: str) -> None:
    users, gpus = [point.user for point in points], [point.gpu for point in points]
    x, y = [each.value for each in users], [each.value for each in gpus]
    axes.errorbar(x, y, xerr=bars(users), yerr=bars(gpus), fmt="none", ecolor=colour, elinewidth=1.0)
    label = arm if points else f"{arm} (no valid run)"
    axes.plot(x, y, marker, color=colour, markersize=5.5, label=label)
