"""What a user gets against what a GPU gives: tokens/s a user and tokens/s a GPU, and which points no other beats."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.dashboard.axes import linear_axis
from workbench.dashboard.blocks import (
    Block,
    Cell,
    Option,
    Panel,
    Selector,
    TableBlock,
    TableColumn,
    TableRow,
    Text,
)
from workbench.dashboard.definition import ParetoPanel
from workbench.dashboard.panels.arms import EMPTY, comparisons, number, told
from workbench.dashboard.panels.common import facets_of
from workbench.dashboard.pictures import Chart, Point, Series
from workbench.dashboard.sources import Results
from workbench.figures.bench.arms import ArmComparison, palette_places
from workbench.figures.bench.pareto import ParetoInfo, ParetoPoint, X, Y, collect_pareto

_COLUMNS = (
    TableColumn("arm", "arm"),
    TableColumn("concurrency", "concurrency", "number"),
    TableColumn("user", f"{X.title}, {X.unit}", "number"),
    TableColumn("gpu", f"{Y.title}, {Y.unit}", "number"),
    TableColumn("optimal", "on the frontier"),
)


def collect(results: Results, options: ParetoPanel) -> Panel:
    """A scatter and its table, load by load."""
    title = options.title or "Pareto frontier"
    if not results.bench:
        return Panel("pareto", title, EMPTY, empty=True)
    found = list(comparisons(results.bench, options.baseline))
    infos = [
        info for _, _, each in found if isinstance(each, ArmComparison) and (info := collect_pareto(each))
    ]
    if not infos:
        what = "No row has both tokens/s a user and tokens/s a GPU."
        return Panel("pareto", title, what, empty=True)
    chosen = tuple(
        Option(name, name, tuple(_blocks(name, each)), facets_of(device)) for name, device, each in found
    )
    finding = f"{infos[0].heading.title}."
    return Panel("pareto", title, finding, (Selector("pareto", "load", chosen),))


def _blocks(name: str, comparison: ArmComparison | str) -> Iterator[Block]:
    if isinstance(comparison, str):
        yield Text((comparison,), "warn")
    elif (info := collect_pareto(comparison)) is None:
        yield Text(("No row of this load has both tokens/s a user and tokens/s a GPU.",))
    else:
        yield Text((info.heading.subtitle,))
        yield _chart(name, info)
        yield _table(info)


def _chart(name: str, info: ParetoInfo) -> Chart:
    places = palette_places(info.arms, info.baseline)
    arms = [
        Series(
            arm,
            places[arm],
            marker,
            "none",
            tuple(_point(point) for point in info.points if point.arm == arm),
        )
        for marker, arm in enumerate(info.arms)
    ]
    optimal = sorted((point.user.value, point.gpu.value) for point in info.points if point.optimal)
    frontier = tuple(Point(x, y, "") for x, y in optimal)
    return Chart(
        name=f"{name}-pareto",
        title=info.heading.title,
        subtitle="",
        x=linear_axis(
            [end for p in info.points for end in (p.user.value, *(p.user.interval or ()))], X.axis_label
        ),
        y=linear_axis(
            [end for p in info.points for end in (p.gpu.value, *(p.gpu.interval or ()))], Y.axis_label
        ),
        series=(Series("frontier", -1, -1, "dashed", frontier), *arms),
        notes=(
            "Filled and joined: no other point is better in both. Numbers: concurrency.",
            *info.heading.notes[1:],
        ),
    )


def _point(point: ParetoPoint) -> Point:
    place = "on the frontier" if point.optimal else "another point is better in both"
    user, gpu = told(point.user, X.name), told(point.gpu, Y.name)
    return Point(
        point.user.value,
        point.gpu.value,
        f"{point.arm}, concurrency {point.concurrency:g}: {user}; {gpu}; {place}",
        bars=point.gpu.interval,
        across=point.user.interval,
        hollow=not point.optimal,
        label=f"{point.concurrency:g}" if point.optimal else "",
    )


def _table(info: ParetoInfo) -> TableBlock:
    rows = tuple(
        TableRow(
            (
                Cell(point.arm),
                Cell(f"{point.concurrency:g}", point.concurrency),
                Cell(number(point.user.value), point.user.value),
                Cell(number(point.gpu.value), point.gpu.value),
                Cell("yes" if point.optimal else "no", tone="good" if point.optimal else "quiet"),
            )
        )
        for point in info.points
    )
    return TableBlock("", "The same as figures", _COLUMNS, rows, total="points", folded=True)
