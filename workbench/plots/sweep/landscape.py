"""The landscape over two parameters: a heat map of the best time that their values reach together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.base.errors import InputError
from workbench.base.text import brief, suggestion
from workbench.plots.save import Plot
from workbench.plots.style import Heading, Theme, frame
from workbench.plots.sweep.importance import importances
from workbench.trials.recorded_run import ProblemTrials, RecordedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from moe_kernels.tunable import Value
    from workbench.trials.trial import Trial

# Beyond this many cells a side, numbers in them are too small to read.
MOST_NUMBERS = 14


@dataclass(frozen=True, slots=True)
class Cell:
    """What is known of two values together.

    Attributes:
        tried: configs with both.
        valid: those of them with a time.
        best_us: the best of their times, microseconds, None where there is none.
        relative: that time over the best of the whole landscape, None likewise.
    """

    tried: int
    valid: int
    best_us: float | None
    relative: float | None


@dataclass(frozen=True, slots=True)
class LandscapeInfo:
    """What the plot shows.

    Attributes:
        x: the parameter along x.
        y: the parameter along y.
        x_values: its values in order.
        y_values: likewise.
        cells: by x and y value; one that was not tried is left out.
        best: the x and y values of the best config, None where no config is valid.
        default: of the default, None where that is not known.
        heading: what stands around it.
    """

    x: str
    y: str
    x_values: tuple[Value, ...]
    y_values: tuple[Value, ...]
    cells: Mapping[tuple[Value, Value], Cell]
    best: tuple[Value, Value] | None
    default: tuple[Value, Value] | None
    heading: Heading


def collect_landscape(
    run: RecordedRun, problems: Sequence[ProblemTrials], x: str | None = None, y: str | None = None
) -> LandscapeInfo | None:
    """Reduces the trials of a problem to the best of each pair of values.

    Args:
        run: the run.
        problems: of which the one with the most valid trials is shown.
        x: a parameter; otherwise the most important one that is not `y`.
        y: another parameter; otherwise the next important one.

    Returns:
        None where fewer than two parameters have more than one value.

    Raises:
        InputError: `x` or `y` is no parameter, or they are the same.
    """
    problem = max(problems, key=lambda each: len(each.valid))
    axes = _axes(problem, x, y)
    if axes is None:
        return None
    groups: dict[tuple[Value, Value], list[Trial]] = {}
    for trial in problem.trials:
        groups.setdefault((trial.config[axes[0]], trial.config[axes[1]]), []).append(trial)
    fastest = min((trial for trial in problem.valid), key=lambda each: each.time_us or 0.0, default=None)
    valid = {trial.trial for trial in problem.valid}
    return LandscapeInfo(
        x=axes[0],
        y=axes[1],
        x_values=_ordered([pair[0] for pair in groups]),
        y_values=_ordered([pair[1] for pair in groups]),
        cells={pair: _cell(trials, valid, fastest) for pair, trials in groups.items()},
        best=_pair(fastest, axes),
        default=_pair(problem.default, axes),
        heading=_heading(run, problem, fastest, axes),
    )


def _axes(problem: ProblemTrials, x: str | None, y: str | None) -> tuple[str, str] | None:
    names = list(problem.trials[0].config)
    for option, name in (("--x", x), ("--y", y)):
        if name is not None and name not in names:
            allowed = f"{suggestion(name, names)}; there are: {', '.join(names)}"
            raise InputError(f"no parameter {brief(name, 60)!r}{allowed}", key=option)
    if x is not None and x == y:
        raise InputError(f"is {x!r}, as --x is; name two parameters", key="--y")
    ranked = [each.parameter for each in importances([problem])]
    varied = [name for name in names if len({trial.config[name] for trial in problem.trials}) > 1]
    free = iter(dict.fromkeys(name for name in [*ranked, *varied] if name not in (x, y)))
    chosen = (x or next(free, None), y or next(free, None))
    return None if chosen[0] is None or chosen[1] is None else (chosen[0], chosen[1])


def _ordered(values: Sequence[Value]) -> tuple[Value, ...]:
    """Numbers by size, then words in the order in which they first occur."""
    distinct = list(dict.fromkeys(values))
    numbers = sorted(value for value in distinct if not isinstance(value, str))
    return (*numbers, *(value for value in distinct if isinstance(value, str)))


def _cell(trials: Sequence[Trial], valid: set[str], fastest: Trial | None) -> Cell:
    times = [trial.time_us for trial in trials if trial.trial in valid and trial.time_us is not None]
    best = min(times, default=None)
    limit = fastest.time_us if fastest else None
    return Cell(len(trials), len(times), best, best / limit if best is not None and limit else None)


def _pair(trial: Trial | None, axes: tuple[str, str]) -> tuple[Value, Value] | None:
    return None if trial is None else (trial.config[axes[0]], trial.config[axes[1]])


def _heading(
    run: RecordedRun, problem: ProblemTrials, fastest: Trial | None, axes: tuple[str, str]
) -> Heading:
    if fastest is None:
        title = f"No valid config in {len(problem.trials)} trials"
    else:
        pair = ", ".join(f"{axis}={fastest.config[axis]}" for axis in axes)
        time = fastest.time_us or 0.0
        told = f"{time:,.0f}" if time >= 1000 else f"{time:.3g}"
        title = f"Best at {pair}: {run.about}{told} µs ({problem.label})"
    notes = (
        f"n = {len(problem.valid)} valid of {len(problem.trials)} trials. A cell shows the best over all other "
        "parameters, as time over the best of all.",
        "Star: the best config. Square: the default. Hatched: tried, none valid. Empty: not tried.",
    )
    return Heading(title, run.subtitle, notes)


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
