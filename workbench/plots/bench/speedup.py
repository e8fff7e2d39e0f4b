"""Draws how much faster each arm is than the baseline, with the 1.0 line and crossovers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.figures.bench.speedup import ArmSpeedup, SpeedupInfo, SpeedupPanel
from workbench.plots.save import Plot
from workbench.plots.style import MARKERS, Theme, arm_colours, frame, log2_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


def _draw_panel(axes: Axes, panel: SpeedupPanel, info: SpeedupInfo, theme: Theme) -> None:
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


def _draw_speedup(axes: Axes, speedup: ArmSpeedup, colour: str, marker: str, theme: Theme) -> None:
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
