"""What a sweep's search learned: a plot a module, all collected from the run's journal."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.plots.save import Plot
from workbench.plots.sweep.convergence import collect_convergence, convergence_plot
from workbench.plots.sweep.importance import collect_importance, importance_plot
from workbench.plots.sweep.landscape import collect_landscape, landscape_plot
from workbench.plots.sweep.statuses import collect_statuses, statuses_plot
from workbench.trials.recorded_run import ProblemTrials, RecordedRun, find_run, read_run, select_problems

__all__ = [
    "ProblemTrials",
    "RecordedRun",
    "collect_convergence",
    "collect_importance",
    "collect_landscape",
    "collect_statuses",
    "convergence_plot",
    "find_run",
    "importance_plot",
    "landscape_plot",
    "read_run",
    "select_problems",
    "statuses_plot",
    "sweep_plots",
]


def sweep_plots(
    run: RecordedRun, problems: Sequence[ProblemTrials], *, x: str | None = None, y: str | None = None
) -> list[Plot]:
    """Every plot of a run.

    Args:
        run: the run.
        problems: those of it that are shown.
        x: the landscape's parameter along x; otherwise the most important one.
        y: along y; otherwise the next important one.

    Raises:
        InputError: `x` or `y` is no parameter of the kernel.
    """
    landscape = collect_landscape(run, problems, x, y)
    return [
        convergence_plot(collect_convergence(run, problems)),
        importance_plot(collect_importance(run, problems)),
        *([landscape_plot(landscape)] if landscape else []),
        statuses_plot(collect_statuses(run, problems)),
    ]
