"""Draws the landscape over two parameters as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.base.text import brief
from workbench.figures.sweep.landscape import LandscapeInfo
from workbench.plots.save import Plot
from workbench.plots.style import Theme, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from moe_kernels.tunable import Value


# Beyond this many cells a side, numbers in them are too small to read.
MOST_NUMBERS = 14


def landscape_plot(info: LandscapeInfo) -> Plot:
    """The plot of what was collected."""
    width = min(max(6.5, 2.6 + 0.62 * len(info.x_values)), 16.0)
    height = min(max(4.2, 2.3 + 0.42 * len(info.y_values)), 14.0)
    return Plot("landscape", (width, height), lambda figure, theme: draw_landscape(info, figure, theme))


def draw_landscape(info: LandscapeInfo, figure: Figure, theme: Theme) -> None:
    """Draws the cells, bright where fast, with their numbers where they can be read."""
    from matplotlib.colors import LogNorm

    frame(figure, info.heading, theme)
    axes = figure.subplots()
    relative = [[_relative(info, x, y) for x in info.x_values] for y in info.y_values]
    known = [value for row in relative for value in row if value == value]
    norm = LogNorm(1.0, max([*known, 1.05]))
    image = axes.imshow(relative, aspect="auto", origin="lower", cmap=f"{theme.scale}_r", norm=norm)
    axes.grid(visible=False)
    axes.set_xticks(range(len(info.x_values)), [brief(str(value), 16) for value in info.x_values])
    axes.set_yticks(range(len(info.y_values)), [brief(str(value), 16) for value in info.y_values])
    axes.set_xlabel(info.x)
    axes.set_ylabel(info.y)
    _draw_cells(axes, info, theme)
    _draw_scale(figure, axes, image, norm.vmax or 1.0)


def _relative(info: LandscapeInfo, x: Value, y: Value) -> float:
    cell = info.cells.get((x, y))
    return float("nan") if cell is None or cell.relative is None else cell.relative


def _draw_cells(axes: Axes, info: LandscapeInfo, theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    readable = max(len(info.x_values), len(info.y_values)) <= MOST_NUMBERS
    worst = max([cell.relative for cell in info.cells.values() if cell.relative], default=1.0)
    for (x, y), cell in info.cells.items():
        place = (info.x_values.index(x), info.y_values.index(y))
        if cell.relative is None:
            corner = (place[0] - 0.5, place[1] - 0.5)
            axes.add_patch(
                Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor=theme.muted, linewidth=0)
            )
        elif readable:
            # The scale runs from bright (1.0) to dark.
            ink = "#000000" if cell.relative**2 <= worst else "#ffffff"
            axes.text(*place, f"{cell.relative:.2f}", ha="center", va="center", size=8, color=ink)
    for pair, marker, size in ((info.default, "s", 13.0), (info.best, "*", 11.0)):
        if pair is not None:
            _draw_marker(axes, info, pair, marker, size)


def _draw_marker(
    axes: Axes, info: LandscapeInfo, pair: tuple[Value, Value], marker: str, size: float
) -> None:
    place = (info.x_values.index(pair[0]) - 0.32, info.y_values.index(pair[1]) + 0.28)
    axes.plot(*place, marker, markersize=size * 0.75, markerfacecolor="#ffffff", markeredgecolor="#000000")


def _draw_scale(figure: Figure, axes: Axes, image: object, worst: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    bar = figure.colorbar(image, ax=axes, pad=0.02)  # type: ignore[arg-type]
    ticks = [1.0, worst**0.25, worst**0.5, worst**0.75, worst]
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.set_label("time over the best\n(ratio, lower is better)")
