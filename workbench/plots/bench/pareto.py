"""Draws what a user gets against what a GPU gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.figures.bench.pareto import ParetoInfo, ParetoPoint, X, Y
from workbench.plots.bench.curves import bars
from workbench.plots.save import Plot
from workbench.plots.style import MARKERS, Theme, arm_colours, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
