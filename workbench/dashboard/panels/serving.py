"""Decode under load: TPOT, throughput, TTFT and acceptance by arm and concurrency, and what is told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.bench.figures import Figure
from workbench.bench.metrics import METRICS
from workbench.dashboard import labels
from workbench.dashboard.axes import linear_axis, log2_axis
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
from workbench.dashboard.definition import ServingPanel
from workbench.dashboard.panels.arms import EMPTY, comparisons, interval, number, told
from workbench.dashboard.panels.common import facets_of
from workbench.dashboard.pictures import Chart, ChartAxis, Point, Series
from workbench.dashboard.sources import Results
from workbench.figures.bench.arms import ArmComparison, ArmLoad, ComparedArm, palette_places
from workbench.figures.bench.curves import AXIS, CURVES, CurveInfo, Line, collect_curves
from workbench.figures.bench.speedup import SpeedupInfo, SpeedupRatio, collect_speedup

_SPEEDUPS = (
    TableColumn("arm", "arm"),
    TableColumn("metric", "metric"),
    TableColumn("load", "load", "number"),
    TableColumn("ratio", "speed-up", "number"),
    TableColumn("interval", "95 % interval", "number"),
    TableColumn("verdict", "verdict", help="Told apart only with repeats of both and an interval without 1."),
)


def collect(results: Results, options: ServingPanel) -> Panel:
    """Curves and tables, load by load."""
    title = options.title or "Throughput and TPOT"
    if not results.bench:
        return Panel("serving", title, EMPTY, empty=True)
    found = list(comparisons(results.bench, options.baseline))
    chosen = tuple(
        Option(name, name, tuple(_blocks(name, each, options)), facets_of(device))
        for name, device, each in found
    )
    return Panel(
        "serving", title, _finding([each for _, _, each in found]), (Selector("serving", "load", chosen),)
    )


def _finding(found: Sequence[ArmComparison | str]) -> str:
    known = [each for each in found if isinstance(each, ArmComparison)]
    speedups = [info for each in known if (info := collect_speedup(each))]
    if speedups:
        return f"{speedups[0].heading.title}."
    curves = [curve for each in known if (curve := collect_curves(each, "tpot"))]
    return f"{curves[0].heading.title}." if curves else "No run of these has figures to compare."


def _blocks(name: str, comparison: ArmComparison | str, options: ServingPanel) -> Iterator[Block]:
    if isinstance(comparison, str):
        yield Text((comparison,), "warn")
        return
    infos = [info for metric in options.metrics if (info := collect_curves(comparison, metric))]
    yield Text((comparison.subtitle,))
    for info in infos:
        yield _chart(name, info, comparison)
    if speedup := collect_speedup(comparison):
        yield _speedups(speedup)
    yield _figures(comparison, infos)
    if failures := [*_failures(comparison)]:
        yield Text(tuple(failures), "warn")


def _chart(name: str, info: CurveInfo, comparison: ArmComparison) -> Chart:
    places = palette_places([line.arm for line in info.lines], info.baseline)
    markers = {arm.name: place for place, arm in enumerate(comparison.arms)}
    ends = [end for line in info.lines for figure in line.y for end in (figure.interval or ())]
    values = [figure.value for line in (*info.lines, *info.behind) for figure in line.y]
    y = linear_axis([*values, *ends], info.label)
    return Chart(
        name=f"{name}-{info.name}",
        title=info.heading.title,
        subtitle="",
        x=log2_axis(info.ticks, AXIS),
        y=y,
        series=tuple(_series(info, places, markers, y)),
        notes=info.heading.notes,
    )


def _series(
    info: CurveInfo, places: dict[str, int], markers: dict[str, int], y: ChartAxis
) -> Iterator[Series]:
    for line in info.behind:
        label = METRICS[line.metric].title
        yield Series(f"{line.arm} {label}", places[line.arm], -1, "dotted", _points(line), listed=False)
    for line in info.lines:
        name = line.arm if line.x else f"{line.arm} (no valid run)"
        yield Series(name, places[line.arm], markers[line.arm], "solid", _points(line))
    failed = tuple(
        Point(x, y.low, f"{line.arm}, concurrency {x:g}: {status}", label=status)
        for line in info.lines
        for x, status in line.failed
    )
    if failed:
        yield Series("failed runs", -2, 6, "none", failed)


def _points(line: Line) -> tuple[Point, ...]:
    return tuple(
        Point(
            x,
            figure.value,
            f"{line.arm}, concurrency {x:g}, {METRICS[line.metric].title}: {told(figure, line.metric)}",
            bars=figure.interval,
        )
        for x, figure in zip(line.x, line.y, strict=True)
    )


def _speedups(info: SpeedupInfo) -> TableBlock:
    rows = tuple(
        TableRow(_ratio_cells(speedup.arm, panel.metric.title, ratio))
        for panel in info.panels
        for speedup in panel.speedups
        for ratio in speedup.ratios
    )
    caption = f"Against {info.baseline}; above 1 is better than it. Load: {info.axis}"
    return TableBlock("", caption, _SPEEDUPS, rows, total="comparisons")


def _ratio_cells(arm: str, metric: str, ratio: SpeedupRatio) -> tuple[Cell, ...]:
    tone = {"faster": "good", "slower": "bad"}.get(ratio.verdict, "quiet")
    ends = "-" if ratio.interval is None else f"{ratio.interval[0]:.3f} to {ratio.interval[1]:.3f}"
    return (
        Cell(arm),
        Cell(metric),
        Cell(f"{ratio.tokens:g}", ratio.tokens),
        Cell(f"{ratio.value:.3f}x", ratio.value),
        Cell(ends, ratio.interval and ratio.interval[0]),
        Cell(ratio.verdict, tone=tone),  # type: ignore[arg-type]
    )


def _figures(comparison: ArmComparison, infos: Sequence[CurveInfo]) -> TableBlock:
    """Every arm at every load, with the metrics of the charts."""
    shown = [metric for info in infos for metric in CURVES[info.name] if metric is not None]
    having = {name for arm in comparison.arms for point in arm.points for name in point.figures}
    metrics = [metric for metric in shown if metric in having]
    columns = (
        TableColumn("arm", "arm"),
        TableColumn("concurrency", "concurrency", "number"),
        *(
            TableColumn(metric, f"{METRICS[metric].title}, {METRICS[metric].unit}", "number")
            for metric in metrics
        ),
        TableColumn("runs", "runs", "number"),
    )
    rows = tuple(TableRow(_load_cells(arm, load, metrics)) for arm in comparison.arms for load in arm.points)
    return TableBlock(
        "", "The same as figures, with 95 % intervals", columns, rows, total="loads", folded=True
    )


def _load_cells(arm: ComparedArm, load: ArmLoad, metrics: Sequence[str]) -> tuple[Cell, ...]:
    figures = (_figure_cell(load.figures.get(metric)) for metric in metrics)
    concurrency = Cell(f"{load.concurrency:g}", load.concurrency)
    return (Cell(arm.name), concurrency, *figures, Cell(f"{load.runs:,}", load.runs))


def _figure_cell(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell("-", None, "quiet")
    return Cell(f"{number(figure.value)}{interval(figure)}", figure.value)


def _failures(comparison: ArmComparison) -> Iterator[str]:
    for arm in comparison.arms:
        for failure in arm.failures:
            where = "unlimited" if failure.concurrency is None else f"{failure.concurrency:g}"
            yield f"{arm.name} at concurrency {where}: {failure.status}: {labels.plain(failure.reason, 200)}"
