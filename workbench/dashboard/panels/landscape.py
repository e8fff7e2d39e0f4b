"""The landscape of a run: the best time that two parameters reach together, problem by problem."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from workbench.base.errors import InputError
from workbench.dashboard import labels
from workbench.dashboard.blocks import Block, Option, Panel, Selector, Text
from workbench.dashboard.definition import LandscapePanel
from workbench.dashboard.panels.common import NO_RUNS, choice_of_runs, runs_of
from workbench.dashboard.pictures import HeatMap, Square
from workbench.dashboard.sources import Results, SweepRun
from workbench.figures.sweep.landscape import LandscapeCell, LandscapeInfo, collect_landscape
from workbench.trials.recorded_run import ProblemTrials

# Beyond this many squares a side, a heat map is no longer read, only looked at.
MOST_SQUARES = 40
_LEGEND = (
    "Squares: time over the best of all, the best over all other parameters. Star: the best config. Ring: the default. "
    "Hatched: tried, none valid. Empty: not tried."
)


def collect(results: Results, options: LandscapePanel) -> Panel:
    """A heat map a problem, a run."""
    title = options.title or "Landscape"
    runs = runs_of(results, options)
    if not runs:
        return Panel("landscape", title, NO_RUNS, empty=True)
    choice = choice_of_runs("landscape", runs, results, lambda run: _blocks(run, options))
    first = next(_infos(runs[0], options), None)
    finding = (
        f"Latest run: {first.heading.title}."
        if isinstance(first, LandscapeInfo)
        else "No two parameters vary."
    )
    return Panel("landscape", title, finding, (choice,), (_LEGEND,))


def _blocks(run: SweepRun, options: LandscapePanel) -> Sequence[Block]:
    drawn = [
        Option(problem.label, problem.label, (block,))
        for problem, block in zip(_problems(run, options), _maps(run, options), strict=True)
    ]
    left_out = len(run.recorded.problems) - len(drawn)
    more = (Text((f"{labels.count(left_out, 'more problem')} of this run not listed.",)),) if left_out else ()
    if len(drawn) == 1:
        return (*drawn[0].blocks, *more)
    return (Selector(f"landscape-{labels.plain(run.id, 120)}", "problem", tuple(drawn)), *more)


def _problems(run: SweepRun, options: LandscapePanel) -> Sequence[ProblemTrials]:
    """Those with the most valid trials, in the sweep's order."""
    problems = run.recorded.problems
    ranked = sorted(range(len(problems)), key=lambda place: -len(problems[place].valid))
    return [problems[place] for place in sorted(ranked[: options.problems])]


def _maps(run: SweepRun, options: LandscapePanel) -> Iterator[Block]:
    for number, info in enumerate(_infos(run, options)):
        yield _map(run, number, info) if isinstance(info, LandscapeInfo) else Text((info,))


def _infos(run: SweepRun, options: LandscapePanel) -> Iterator[LandscapeInfo | str]:
    """The landscape of each problem, or why there is none."""
    for problem in _problems(run, options):
        try:
            info = collect_landscape(run.recorded, [problem], options.x, options.y)
        except InputError as error:
            # A definition serves kernels with other parameters, too.
            yield f"{error.key}: {error.message}"
        else:
            yield info or "No two parameters vary in these trials."


def _map(run: SweepRun, number: int, info: LandscapeInfo) -> HeatMap:
    xs, ys = info.x_values[:MOST_SQUARES], info.y_values[:MOST_SQUARES]
    worst = max((cell.relative for cell in info.cells.values() if cell.relative), default=1.0)
    squares = tuple(
        _square(info, column, row, worst)
        for row, y in enumerate(ys)
        for column, x in enumerate(xs)
        if (x, y) in info.cells
    )
    cut = len(info.x_values) > len(xs) or len(info.y_values) > len(ys)
    return HeatMap(
        name=f"{labels.plain(run.id, 120)}-{number}",
        title=info.heading.title,
        subtitle=info.heading.subtitle,
        x=labels.plain(info.x, 60),
        y=labels.plain(info.y, 60),
        columns=tuple(labels.plain(x, 24) for x in xs),
        rows=tuple(labels.plain(y, 24) for y in ys),
        squares=squares,
        notes=(
            *info.heading.notes[:1],
            *((f"Only the first {MOST_SQUARES} values of each are drawn.",) if cut else ()),
        ),
    )


def _square(info: LandscapeInfo, column: int, row: int, worst: float) -> Square:
    pair = info.x_values[column], info.y_values[row]
    cell = info.cells[pair]
    marks = [name for name, place in (("best", info.best), ("default", info.default)) if place == pair]
    where = labels.plain(f"{info.x}={pair[0]}, {info.y}={pair[1]}", 160)
    return Square(
        column,
        row,
        "none" if cell.relative is None else f"{cell.relative:.2f}",
        f"{where}: {_told(cell)}{'; ' if marks else ''}{', '.join(marks)}",
        _shade(cell, worst),
        " ".join(marks),
    )


def _shade(cell: LandscapeCell, worst: float) -> float | None:
    """On a logarithmic scale from the best to the worst."""
    if cell.relative is None:
        return None
    return math.log(cell.relative) / math.log(max(worst, 1.05))


def _told(cell: LandscapeCell) -> str:
    tried = f"{labels.count(cell.tried, 'config')} tried, {cell.valid} valid"
    if cell.relative is None or cell.best_us is None:
        return tried
    return f"{cell.relative:.3f} of the best, {cell.best_us:.4g} us; {tried}"
