"""How fast the search of a run found its best: the best time so far against trials, problem by problem."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean

from workbench.dashboard import labels
from workbench.dashboard.axes import count_axis, linear_axis
from workbench.dashboard.blocks import Block, Cell, Panel, TableBlock, TableColumn, TableRow, Text
from workbench.dashboard.definition import ConvergencePanel
from workbench.dashboard.panels.common import NO_RUNS, choice_of_runs, runs_of
from workbench.dashboard.pictures import Chart, Point, Series
from workbench.dashboard.sources import Results, SweepRun
from workbench.figures.sweep.convergence import Curve, curve_of

_COLUMNS = (
    TableColumn("problem", "problem"),
    TableColumn("trials", "trials", "number"),
    TableColumn("failed", "without a time", "number"),
    TableColumn("found", "best found at trial", "number"),
    TableColumn("best", "best us", "number"),
    TableColumn("default", "default us", "number"),
    TableColumn("speedup", "speed-up", "number"),
)
_LEGEND = (
    "Line: best time so far, us, lower is better. Dashed: the default. Crosses below: trials without a time."
)


def collect(results: Results, options: ConvergencePanel) -> Panel:
    """A small chart a problem and a table of all, a run."""
    title = options.title or "Convergence of the search"
    runs = runs_of(results, options)
    if not runs:
        return Panel("convergence", title, NO_RUNS, empty=True)
    choice = choice_of_runs("convergence", runs, results, lambda run: _blocks(run, options.problems))
    return Panel("convergence", title, f"Latest run: {finding(runs[0])}.", (choice,), (_LEGEND,))


def finding(run: SweepRun) -> str:
    """How far a run's search came."""
    curves, evidence = list(map(curve_of, run.recorded.problems)), run.recorded.evidence
    speedups = [curve.speedup for curve in curves if curve.speedup]
    trials = labels.count(sum(curve.trials for curve in curves), "trial")
    if evidence == labels.MODELLED:
        return f"{trials}, modelled: nothing was timed"
    if not speedups:
        return f"{trials}, no speed-up known"
    what = f"geometric mean of {labels.count(len(curves), 'problem')}" if len(curves) > 1 else "one problem"
    return f"{labels.times(geometric_mean(speedups), evidence)} over the default ({what}, {trials})"


def _blocks(run: SweepRun, most: int) -> Sequence[Block]:
    curves, evidence = list(map(curve_of, run.recorded.problems)), run.recorded.evidence
    charts = [_chart(run, number, curve, evidence) for number, curve in enumerate(curves[:most])]
    undrawn = len(curves) - len(charts)
    more = (Text((f"{labels.count(undrawn, 'more problem')} in the table only.",)),) if undrawn else ()
    heading = Text((f"{finding(run)}.", run.recorded.subtitle))
    return (heading, *charts, *more, _table(curves, evidence))


def _chart(run: SweepRun, number: int, curve: Curve, evidence: str) -> Chart:
    best = [*zip(curve.found_at, curve.best_us, strict=True)]
    points = tuple(Point(at, time, f"trial {at:,}: {labels.time_us(time, evidence)} us") for at, time in best)
    if points:
        end = Point(
            curve.trials,
            best[-1][1],
            f"after {curve.trials:,} trials: {labels.time_us(best[-1][1], evidence)} us",
        )
        points = (*points, end) if points[-1].x < curve.trials else points
    y = linear_axis(
        [time for _, time in best] + ([curve.default_us] if curve.default_us else []), "us", from_zero=False
    )
    failed = tuple(Point(at, y.low, f"trial {at:,}: no time") for at in curve.failed_at)
    is_told = curve.speedup and evidence != labels.MODELLED
    told = f", {labels.times(curve.speedup, evidence)}" if is_told else "" if best else ", no valid config"
    return Chart(
        name=f"{labels.plain(run.id, 120)}-{number}",
        title=f"{curve.label}{told}",
        subtitle="",
        x=count_axis(curve.trials, "trials"),
        y=y,
        series=(
            Series("best so far", 1, -1, "step", points, listed=False),
            Series("no time", -2, 6, "none", failed, listed=False),
        ),
        rules=((curve.default_us, "default"),) if curve.default_us else (),
        small=True,
    )


def _table(curves: Sequence[Curve], evidence: str) -> TableBlock:
    rows = tuple(TableRow(_cells(curve, evidence)) for curve in curves)
    return TableBlock("", "The same as figures", _COLUMNS, rows, total="problems", folded=True)


def _cells(curve: Curve, evidence: str) -> tuple[Cell, ...]:
    best = curve.best_us[-1] if curve.best_us else None
    found = curve.found_at[-1] if curve.found_at else None
    return (
        Cell(curve.label),
        Cell(f"{curve.trials:,}", curve.trials),
        Cell(f"{len(curve.failed_at):,}", len(curve.failed_at)),
        Cell("-" if found is None else f"{found:,}", found),
        Cell(labels.time_us(best, evidence), best),
        Cell(labels.time_us(curve.default_us, evidence), curve.default_us),
        Cell(labels.times(curve.speedup, evidence), curve.speedup),
    )
