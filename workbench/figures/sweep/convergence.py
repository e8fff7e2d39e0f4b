"""How fast a search found its best: the best time so far against trials, with the default as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from workbench.figures.heading import Heading
from workbench.trials.recorded_run import ProblemTrials, RecordedRun
from workbench.trials.trial import Evidence

MOST_PANELS = 30


@dataclass(frozen=True, slots=True)
class Curve:
    """How one problem's search went.

    Attributes:
        found_at: the trial, from 1, of each improvement.
        best_us: the best time from then on, microseconds; as many as `found_at`.
        default_us: the default's time, None where there is none.
        failed_at: trials that ended without a time.
    """

    label: str
    trials: int
    found_at: tuple[int, ...]
    best_us: tuple[float, ...]
    default_us: float | None
    failed_at: tuple[int, ...]

    @property
    def speedup(self) -> float | None:
        """The default's time over the best one's, None where one of them is not known."""
        return self.default_us / self.best_us[-1] if self.default_us and self.best_us else None


@dataclass(frozen=True, slots=True)
class ConvergenceInfo:
    """What a picture of it shows.

    Attributes:
        curves: one a problem, at most `MOST_PANELS`.
        about: what stands before a speed-up that was not measured.
        tells_speedups: whether there are speed-ups to tell: a model's are none.
    """

    curves: tuple[Curve, ...]
    left_out: int
    about: str
    tells_speedups: bool
    heading: Heading


def collect_convergence(run: RecordedRun, problems: Sequence[ProblemTrials]) -> ConvergenceInfo:
    """Follows the best time through the trials of each problem, in the order of the journal."""
    curves = tuple(map(curve_of, problems[:MOST_PANELS]))
    left_out = len(problems) - len(curves)
    tells_speedups = run.evidence != Evidence.MODELLED
    title = _title(curves, run.about) if tells_speedups else _modelled_title(curves)
    return ConvergenceInfo(
        curves,
        left_out,
        run.about,
        tells_speedups,
        Heading(title, run.subtitle, tuple(_notes(curves, left_out))),
    )


def curve_of(problem: ProblemTrials) -> Curve:
    """How the search of one problem went."""
    best, found_at, best_us, failed_at = math.inf, [], [], []
    valid = {trial.trial for trial in problem.valid}
    for number, trial in enumerate(problem.trials, start=1):
        if trial.trial not in valid:
            failed_at.append(number)
        elif trial.time_us is not None and trial.time_us < best:
            best = trial.time_us
            found_at.append(number)
            best_us.append(best)
    return Curve(
        problem.label,
        len(problem.trials),
        tuple(found_at),
        tuple(best_us),
        problem.default_time_us,
        tuple(failed_at),
    )


def _title(curves: Sequence[Curve], about: str) -> str:
    speedups = [curve.speedup for curve in curves if curve.speedup]
    trials = sum(curve.trials for curve in curves)
    if not speedups:
        return f"Best time so far, {trials} trials"
    mean = geometric_mean(speedups)
    what = f"geometric mean of {len(speedups)} problems, " if len(speedups) > 1 else ""
    return f"{about}{mean:.2f}x over the default ({what}{trials} trials)"


def _modelled_title(curves: Sequence[Curve]) -> str:
    return f"Best modelled time so far, {sum(curve.trials for curve in curves)} trials"


def _notes(curves: Sequence[Curve], left_out: int) -> list[str]:
    notes = [
        "Line: best time so far. Dashed: the default. Ticks below: trials without a time (pruned or failed)."
    ]
    if any(curve.default_us is None for curve in curves):
        notes.append("No dashed line: the default's time is not in this journal.")
    if left_out:
        notes.append(f"{left_out} more problems; --problem axis=value picks.")
    return notes
