"""Draws the best time so far against trials, with the default as a line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.figures.sweep.convergence import ConvergenceInfo, Curve
from workbench.plots.save import Plot
from workbench.plots.style import Theme, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def convergence_plot(info: ConvergenceInfo) -> Plot:
    """The plot of what was collected: a panel a problem."""
    columns = min(len(info.curves), 5 if len(info.curves) > 12 else 3)
    rows = math.ceil(len(info.curves) / columns)
    size = (max(7.0, 3.1 * columns), 1.5 + (3.2 if rows == 1 else 2.1 * rows))
    return Plot("convergence", size, lambda figure, theme: draw_convergence(info, figure, theme, columns))


def draw_convergence(info: ConvergenceInfo, figure: Figure, theme: Theme, columns: int) -> None:
    """Draws one panel a problem, all of one look."""
    frame(figure, info.heading, theme)
    rows = math.ceil(len(info.curves) / columns)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, curve in zip(panels.flat, info.curves, strict=False):
        _draw_curve(axes, curve, info, theme)
    for axes in panels.flat[len(info.curves) :]:
        axes.set_axis_off()
    for axes in panels.flat[max(len(info.curves) - columns, 0) : len(info.curves)]:
        axes.set_xlabel("trials (count)")
    for axes in panels[:, 0]:
        axes.set_ylabel("best so far\n(µs, lower is better)", size=8 if rows > 1 else 9)


def _draw_curve(axes: Axes, curve: Curve, info: ConvergenceInfo, theme: Theme) -> None:
    axes.set_title(curve.label, loc="left")
    if curve.default_us is not None:
        axes.axhline(curve.default_us, color=theme.baseline, linestyle="--", linewidth=1.2)
    if curve.best_us:
        ends = [*curve.found_at, curve.trials]
        axes.step(
            ends, [*curve.best_us, curve.best_us[-1]], where="post", color=theme.palette[1], linewidth=1.6
        )
        axes.plot(curve.found_at, curve.best_us, "o", color=theme.palette[1], markersize=3)
    else:
        axes.text(0.5, 0.5, "no valid config", transform=axes.transAxes, ha="center", color=theme.bad)
    if curve.speedup and info.tells_speedups:
        told = f"{info.about}{curve.speedup:.2f}x"
        axes.text(0.98, 0.95, told, transform=axes.transAxes, ha="right", va="top", weight="bold")
    below = axes.get_xaxis_transform()
    axes.plot(
        curve.failed_at, [0.02] * len(curve.failed_at), "|", color=theme.bad, transform=below, markersize=5
    )
    axes.set_xlim(0.5, curve.trials + 0.5)
    axes.margins(y=0.15)
