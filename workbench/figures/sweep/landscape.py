"""The landscape over two parameters: a heat map of the best time that their values reach together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.base.errors import InputError
from workbench.base.text import brief, suggestion
from workbench.figures.heading import Heading
from workbench.figures.sweep.importance import importances
from workbench.trials.recorded_run import ProblemTrials, RecordedRun
from workbench.trials.trial import Evidence, Trial

if TYPE_CHECKING:
    from moe_kernels.tunable import Value


@dataclass(frozen=True, slots=True)
class LandscapeCell:
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
    """What a picture of it shows.

    Attributes:
        x_values: its values in order.
        cells: by x and y value; one that was not tried is left out.
        best: the x and y values of the best config, None where no config is valid.
        default: of the default, None where that is not known.
    """

    x: str
    y: str
    x_values: tuple[Value, ...]
    y_values: tuple[Value, ...]
    cells: Mapping[tuple[Value, Value], LandscapeCell]
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


def _cell(trials: Sequence[Trial], valid: set[str], fastest: Trial | None) -> LandscapeCell:
    times = [trial.time_us for trial in trials if trial.trial in valid and trial.time_us is not None]
    best = min(times, default=None)
    limit = fastest.time_us if fastest else None
    return LandscapeCell(len(trials), len(times), best, best / limit if best is not None and limit else None)


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
        is_told = run.evidence != Evidence.MODELLED
        title = f"Best at {pair}{f': {run.about}{told} µs' if is_told else ' by the model'} ({problem.label})"
    notes = (
        f"n = {len(problem.valid)} valid of {len(problem.trials)} trials. A cell shows the best over all other "
        "parameters, as time over the best of all.",
        "Star: the best config. Square: the default. Hatched: tried, none valid. Empty: not tried.",
    )
    return Heading(title, run.subtitle, notes)
