"""Draws a metric by arm and concurrency: a line an arm, with its spread and its failed runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.bench.figures import Figure as Measured
from workbench.figures.bench.curves import AXIS, CurveInfo, Line
from workbench.plots.save import Plot
from workbench.plots.style import MARKERS, Theme, arm_colours, frame, log2_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves_plot(info: CurveInfo) -> Plot:
    """The plot of what was collected."""
    height = 4.6 + 0.16 * len(info.heading.notes)
    return Plot(info.name, (8.0, height), lambda figure, theme: draw_curves(info, figure, theme))


def draw_curves(info: CurveInfo, figure: Figure, theme: Theme) -> None:
    """Draws a line an arm with its intervals, and a cross where a run failed."""
    frame(figure, info.heading, theme)
    axes = figure.subplots()
    arms = [line.arm for line in info.lines]
    colours = arm_colours(arms, info.baseline, theme)
    for line in info.behind:
        values = [figure.value for figure in line.y]
        axes.plot(line.x, values, ":", color=colours[line.arm], linewidth=1.2, marker=".", markersize=4)
    for marker, line in zip(_markers(len(arms)), info.lines, strict=True):
        _draw_line(axes, line, colours[line.arm], marker)
        draw_failures(axes, line, arms.index(line.arm), colours[line.arm])
    log2_ticks(axes, info.ticks)
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.set_xlabel(AXIS)
    axes.set_ylabel(info.label)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)


def _markers(count: int) -> list[str]:
    return [MARKERS[index % len(MARKERS)] for index in range(count)]


def _draw_line(axes: Axes, line: Line, colour: str, marker: str) -> None:
    values = [figure.value for figure in line.y]
    axes.errorbar(line.x, values, yerr=bars(line.y), fmt="none", ecolor=colour, elinewidth=1.2, capsize=2.5)
    label = line.arm if line.x else f"{line.arm} (no valid run)"
    axes.plot(line.x, values, color=colour, marker=marker, markersize=5, linewidth=1.8, label=label)


def bars(figures: Sequence[Measured]) -> tuple[list[float], list[float]]:
    """How far down and up the intervals reach, as matplotlib wants it; 0 where there is none."""
    ends = [(figure.value, figure.interval or (figure.value, figure.value)) for figure in figures]
    return [value - low for value, (low, _) in ends], [high - value for value, (_, high) in ends]


def draw_failures(axes: Axes, line: Line, row: int, colour: str) -> None:
    """A cross and the status, near the bottom, a line an arm; never a value."""
    height = 0.03 + 0.06 * row
    for x, status in line.failed:
        below = axes.get_xaxis_transform()
        axes.plot([x], [height], "x", color=colour, transform=below, markersize=7, markeredgewidth=2)
        axes.annotate(
            status,
            (x, height),
            xycoords=below,
            xytext=(5, 0),
            textcoords="offset points",
            size=7,
            color=colour,
            va="center",
        )
