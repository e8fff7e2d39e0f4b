"""What a sweep's search learned: a plot a module."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.figures.sweep.convergence import collect_convergence
from workbench.figures.sweep.importance import collect_importance
from workbench.figures.sweep.landscape import collect_landscape
from workbench.figures.sweep.statuses import collect_statuses
from workbench.plots.save import Plot
from workbench.plots.sweep.convergence import convergence_plot
from workbench.plots.sweep.importance import importance_plot
from workbench.plots.sweep.landscape import landscape_plot
from workbench.plots.sweep.statuses import statuses_plot
from workbench.trials.recorded_run import ProblemTrials, RecordedRun

__all__ = ["convergence_plot", "importance_plot", "landscape_plot", "statuses_plot", "sweep_plots"]


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
