"""How fast a search found its best: the best time so far against trials, with the default as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.plots.save import Plot
from workbench.plots.style import Heading, Theme, frame
from workbench.trials.recorded_run import ProblemTrials, RecordedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 30


@dataclass(frozen=True, slots=True)
class Curve:
    """How one problem's search went.

    Attributes:
        label: the problem.
        trials: how many there were.
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
    """What the plot shows.

    Attributes:
        curves: one a problem, at most `MOST_PANELS`.
        left_out: problems beyond those.
        about: what stands before a speed-up that was not measured.
        heading: what stands around it.
    """

    curves: tuple[Curve, ...]
    left_out: int
    about: str
    heading: Heading


def collect_convergence(run: RecordedRun, problems: Sequence[ProblemTrials]) -> ConvergenceInfo:
    """Follows the best time through the trials of each problem, in the order of the journal."""
    curves = tuple(map(_curve, problems[:MOST_PANELS]))
    left_out = len(problems) - len(curves)
    return ConvergenceInfo(
        curves,
        left_out,
        run.about,
        Heading(_title(curves, run.about), run.subtitle, tuple(_notes(curves, left_out))),
    )


def _curve(problem: ProblemTrials) -> Curve:
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
    mean = math.exp(sum(map(math.log, speedups)) / len(speedups))
    what = f"geometric mean of {len(speedups)} problems, " if len(speedups) > 1 else ""
    return f"{about}{mean:.2f}x over the default ({what}{trials} trials)"


def _notes(curves: Sequence[Curve], left_out: int) -> list[str]:
    notes = [
        "Line: best time so far. Dashed: the default. Ticks below: trials without a time (pruned or failed)."
    ]
    if any(curve.default_us is None for curve in curves):
        notes.append("No dashed line: the default's time is not in this journal.")
    if left_out:
        notes.append(f"{left_out} more problems; --problem axis=value picks.")
    return notes


def convergence_plot(info: ConvergenceInfo) -> Plot:
    """The plot of what was collected: a panel a problem."""
    columns = min(len(info.curves), 5 if len(info.curves) > 12 else 3)
    rows = math.ceil(len(info.curves) / columns)
    size = (max(7.0, 3.1 * columns), 1.5 + (3.2 if rows == 1 else 2.1 * rows))
    return Plot("convergence", size, lambda figure, theme: draw_convergence(info, figure, theme, columns))


def draw_convergence(info: ConvergenceInfo, figure: Figure, theme: Theme, columns: int) -> None:
    """Draws one panel a problem, all of one look."""
    frame(figure, info.heading, theme)
    rows = math.ceil(len(info.curves) / columns)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, curve in zip(panels.flat, info.curves, strict=False):
        _draw_curve(axes, curve, info.about, theme)
    for axes in panels.flat[len(info.curves) :]:
        axes.set_axis_off()
    for axes in panels.flat[max(len(info.curves) - columns, 0) : len(info.curves)]:
        axes.set_xlabel("trials (count)")
    for axes in panels[:, 0]:
        axes.set_ylabel("best so far\n(µs, lower is better)", size=8 if rows > 1 else 9)


def _draw_curve(axes: Axes, curve: Curve, about: str, theme: Theme) -> None:
    axes.set_title(curve.label, loc="left")
    if curve.default_us is not None:
        axes.axhline(curve.default_us, color=theme.baseline, linestyle="--", linewidth=1.2)
    if curve.best_us:
        ends = [*curve.found_at, curve.trials]
        axes.step(
            ends, [*curve.best_us, curve.best_us[-1]], where="post", color=theme.palette[1], linewidth=1.6
        )
        axes.plot(curve.found_at, curve.best_us, "o", color=theme.palette[1], markersize=3)
    else:
        axes.text(0.5, 0.5, "no valid config", transform=axes.transAxes, ha="center", color=theme.bad)
    if curve.speedup:
        told = f"{about}{curve.speedup:.2f}x"
        axes.text(0.98, 0.95, told, transform=axes.transAxes, ha="right", va="top", weight="bold")
    below = axes.get_xaxis_transform()
    axes.plot(
        curve.failed_at, [0.02] * len(curve.failed_at), "|", color=theme.bad, transform=below, markersize=5
    )
    axes.set_xlim(0.5, curve.trials + 0.5)
    axes.margins(y=0.15)
