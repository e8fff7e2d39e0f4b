"""Which parameters matter: the share of the variance of ln(time) that each explains.

Both shares are Sobol's indices (I. M. Sobol, Sensitivity Estimates for Nonlinear Mathematical Models, 1993) of ln(time)
over the configs that were tried, so that a factor counts the same at any time, taken per problem and then averaged:

- the main effect, Var(E[y | p]) / Var(y), is what the parameter explains alone. Estimated as the share of the sum of
  squares between its values, less what chance alone puts there (epsilon squared, T. L. Kelley, 1935), as far as the
  trials are a sample: chance shrinks to nothing as they exhaust the product of all values (the finite population
  correction of W. G. Cochran, Sampling Techniques, 1977, section 2.6);
- the total effect, E[Var(y | all others)] / Var(y), includes what it explains together with others. Estimated from
  groups of configs that differ in this parameter only, where there are enough of them.

Over an exhausted product of values both are exact. A search that prefers good configs tries a part of the
space; then the shares are of that part.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from workbench.figures.heading import Heading
from workbench.trials.recorded_run import ProblemTrials, RecordedRun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


FEWEST_TRIALS = 8


# The total effect is told where this share of the trials has a partner that differs in the one parameter only.
FEWEST_PAIRED = 0.25


@dataclass(frozen=True, slots=True)
class Importance:
    """One parameter's shares of the variance of ln(time), averaged over problems.

    Attributes:
        main: explained alone, 0 to 1.
        total: explained alone and together with others, None where too few configs differ in it only.
        levels: how many values were tried.
    """

    parameter: str
    main: float
    total: float | None
    levels: int


@dataclass(frozen=True, slots=True)
class ImportanceInfo:
    """What a picture of it shows.

    Attributes:
        importances: most important first.
        trials: valid trials that it is made from.
        problems: problems that had enough of them.
    """

    importances: tuple[Importance, ...]
    trials: int
    problems: int
    heading: Heading


def collect_importance(run: RecordedRun, problems: Sequence[ProblemTrials]) -> ImportanceInfo:
    """Takes the shares of every parameter that was varied."""
    used = [problem for problem in problems if len(problem.valid) >= FEWEST_TRIALS]
    found = importances(used)
    trials = sum(len(problem.valid) for problem in used)
    return ImportanceInfo(
        found, trials, len(used), Heading(_title(found), run.subtitle, _notes(trials, len(used)))
    )


def importances(problems: Sequence[ProblemTrials]) -> tuple[Importance, ...]:
    """The shares of each parameter with at least two values, most important first; none without any variance."""
    shares: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    levels: dict[str, set[object]] = defaultdict(set)
    for problem in problems:
        for parameter, share in _shares(problem).items():
            shares[parameter].append(share)
            levels[parameter] |= {trial.config[parameter] for trial in problem.valid}
    found = [_averaged(name, each, len(levels[name])) for name, each in shares.items()]
    return tuple(sorted(found, key=lambda each: (-max(each.main, each.total or 0.0), each.parameter)))


def _averaged(name: str, shares: Sequence[tuple[float, float | None]], levels: int) -> Importance:
    totals = [total for _, total in shares if total is not None]
    main = sum(main for main, _ in shares) / len(shares)
    # A parameter cannot explain more alone than it does in all; the two are estimated apart.
    total = max(main, sum(totals) / len(totals)) if totals else None
    return Importance(name, main, total, levels)


def _shares(problem: ProblemTrials) -> dict[str, tuple[float, float | None]]:
    import numpy as np

    valid = problem.valid
    if len(valid) < 2:
        return {}
    logs = np.log([trial.time_us for trial in valid if trial.time_us is not None])
    if not (deviation := float(((logs - logs.mean()) ** 2).sum())) or not np.isfinite(deviation):
        return {}
    configs = [dict(trial.config) for trial in valid]
    levels = {name: len({config[name] for config in configs}) for name in configs[0]}
    untried = max(1.0 - len(configs) / math.prod(levels.values()), 0.0)
    return {
        name: (_main(configs, logs, name, deviation, untried), _total(configs, logs, name, deviation))
        for name in levels
        if levels[name] > 1
    }


def _main(
    configs: Sequence[Mapping[str, object]], logs: Floats, name: str, deviation: float, untried: float
) -> float:
    """(between - untried * (levels - 1) * within / (n - levels)) / all, sums of squares, at least 0."""
    groups: dict[object, list[int]] = defaultdict(list)
    for index, config in enumerate(configs):
        groups[config[name]].append(index)
    between = sum(len(each) * float(logs[each].mean() - logs.mean()) ** 2 for each in groups.values())
    spare = len(logs) - len(groups)
    chance = untried * (len(groups) - 1) * (deviation - between) / spare if spare else deviation
    return min(max((between - chance) / deviation, 0.0), 1.0)


def _total(
    configs: Sequence[Mapping[str, object]], logs: Floats, name: str, deviation: float
) -> float | None:
    """The mean variance within groups that differ in this parameter only, over the variance of all."""
    groups: dict[object, list[int]] = defaultdict(list)
    for index, config in enumerate(configs):
        groups[tuple((key, value) for key, value in config.items() if key != name)].append(index)
    several = [each for each in groups.values() if len(each) > 1]
    paired = sum(map(len, several))
    if paired < max(FEWEST_TRIALS, FEWEST_PAIRED * len(logs)):
        return None
    squares = sum(float(((logs[each] - logs[each].mean()) ** 2).sum()) for each in several)
    levels = len({config[name] for config in configs})
    # Some values of a group may be untried: its unbiased variance, scaled to that of all the values.
    variance = squares / sum(len(each) - 1 for each in several) * (levels - 1) / levels
    return min(variance / (deviation / len(logs)), 1.0)


def _title(found: Sequence[Importance]) -> str:
    if not found:
        return "Too few valid trials to tell which parameter matters"
    first = found[0]
    share = first.main if first.total is None else first.total
    return f"{first.parameter} matters most: {share:.0%} of the variance of ln(time)"


def _notes(trials: int, problems: int) -> tuple[str, ...]:
    of = "one problem" if problems == 1 else f"{problems} problems, averaged over them"
    return (
        f"n = {trials} valid trials of {of}; a share of 1 explains all.",
        "Solid: alone (main effect). Outline: with interactions (total effect), where configs allow to tell.",
        "Shares are of the configs that were tried; a search that prefers good ones tries a part of the space.",
    )
