"""Draws how many trials ended in which way, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.base.text import brief
from workbench.figures.sweep.statuses import StatusInfo
from workbench.plots.save import Plot
from workbench.plots.style import Theme, frame, mark_rows
from workbench.trials.trial import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def statuses_plot(info: StatusInfo) -> Plot:
    """The plot of what was collected: a bar a reason."""
    size = (9.5, 1.7 + 0.36 * max(len(_labels(info)), 3))
    return Plot("statuses", size, lambda figure, theme: draw_statuses(info, figure, theme))


def draw_statuses(info: StatusInfo, figure: Figure, theme: Theme) -> None:
    """Draws the counts, what failed in another colour and hatched."""
    frame(figure, info.heading, theme)
    axes = figure.subplots()
    labels = _labels(info)
    for place, (_, status, count) in enumerate(labels):
        valid = status is Status.OK
        axes.barh(
            place, count, height=0.6, color=theme.good if valid else theme.bad, hatch=None if valid else "///"
        )
        axes.text(count, place, f" {count:,}", va="center", size=8)
    mark_rows(axes, [label for label, _, _ in labels])
    axes.set_xlim(0, max(count for _, _, count in labels) * 1.12)
    axes.set_xlabel("trials (count)")


def _labels(info: StatusInfo) -> list[tuple[str, Status | None, int]]:
    rows: list[tuple[str, Status | None, int]] = [
        (
            f"{each.status}: {brief(each.reason, 62)}" if each.reason else str(each.status),
            each.status,
            each.count,
        )
        for each in info.counts
    ]
    return [*rows, ("other reasons", None, info.other)] if info.other else rows
