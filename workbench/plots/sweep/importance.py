"""Draws which parameters matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.figures.sweep.importance import ImportanceInfo
from workbench.plots.save import Plot
from workbench.plots.style import Theme, frame, mark_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def importance_plot(info: ImportanceInfo) -> Plot:
    """The plot of what was collected: a bar a parameter."""
    size = (7.5, 1.9 + 0.38 * max(len(info.importances), 3))
    return Plot("importance", size, lambda figure, theme: draw_importance(info, figure, theme))


def draw_importance(info: ImportanceInfo, figure: Figure, theme: Theme) -> None:
    """Draws main effects as solid bars within the outlines of total effects."""
    frame(figure, info.heading, theme)
    axes = figure.subplots()
    places = range(len(info.importances))
    colour = theme.palette[1]
    axes.barh(places, [each.main for each in info.importances], height=0.55, color=colour)
    totals = [each.total or 0.0 for each in info.importances]
    axes.barh(places, totals, height=0.55, fill=False, edgecolor=colour, linewidth=1.2)
    for place, each in zip(places, info.importances, strict=True):
        told = f"{each.main:.0%}" + ("" if each.total is None else f" alone, {each.total:.0%} in all")
        axes.text(max(each.main, each.total or 0.0) + 0.012, place, told, va="center", size=8)
    mark_rows(axes, [f"{each.parameter} ({each.levels} values)" for each in info.importances])
    axes.set_xlim(0, 1.28)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("share of the variance of ln(time) (higher matters more)")
