"""Charts, heat maps and timelines: what is drawn is all computed, down to the ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """An axis of a chart.

    Attributes:
        label: title, unit and direction.
        low: its lower end, in the axis's own unit.
        ticks: values with their labels.
    """

    label: str
    scale: Literal["linear", "log"]
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a series.

    Attributes:
        text: all that is told of it.
        bars: the ends of its interval along y, None without one.
        across: along x.
        hollow: drawn hollow: not told apart, or not optimal.
        label: written beside it.
    """

    x: float
    y: float
    text: str
    bars: tuple[float, float] | None = None
    across: tuple[float, float] | None = None
    hollow: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart.

    Attributes:
        colour: a place in the palette, -1 for the baseline's grey, -2 for what failed.
        marker: a place in the list of shapes, -1 for none.
        points: from left to right.
        listed: whether the legend has it.
    """

    name: str
    colour: int
    marker: int
    line: Literal["solid", "dotted", "dashed", "step", "none"]
    points: tuple[Point, ...]
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of lines and points.

    Attributes:
        name: unique on the page.
        title: the finding.
        series: in drawing order.
        rules: horizontal lines: value and label.
        small: True where several stand side by side.
    """

    name: str
    title: str
    subtitle: str
    x: ChartAxis
    y: ChartAxis
    series: tuple[Series, ...]
    rules: tuple[tuple[float, str], ...] = ()
    notes: tuple[str, ...] = ()
    small: bool = False
    kind: Literal["chart"] = "chart"


@dataclass(frozen=True, slots=True)
class Square:
    """A cell of a heat map.

    Attributes:
        column: its place along x.
        shade: 0 for the best to 1 for the worst, None where nothing is valid.
        mark: `best`, `default`, both or neither.
    """

    column: int
    row: int
    text: str
    hint: str
    shade: float | None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A heat map.

    Attributes:
        name: unique on the page.
        title: the finding.
        columns: labels along x.
        squares: those that were tried.
    """

    name: str
    title: str
    subtitle: str
    x: str
    y: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    squares: tuple[Square, ...]
    notes: tuple[str, ...] = ()
    kind: Literal["heat"] = "heat"


@dataclass(frozen=True, slots=True)
class Timeline:
    """A timeline of kernels, as `workbench.timeline.page` gives it."""

    name: str
    record: Mapping[str, Any]
    kind: Literal["timeline"] = "timeline"
