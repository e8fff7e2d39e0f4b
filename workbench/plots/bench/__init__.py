"""Arms side by side: TPOT, throughput, the Pareto frontier and speed-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.base.errors import InputError
from workbench.bench.rows import BenchRow
from workbench.figures.bench.arms import ArmComparison, compare_arms
from workbench.figures.bench.curves import CURVES, collect_curves
from workbench.figures.bench.pareto import collect_pareto
from workbench.figures.bench.speedup import collect_speedup
from workbench.plots.bench.curves import curves_plot
from workbench.plots.bench.pareto import pareto_plot
from workbench.plots.bench.speedup import speedup_plot
from workbench.plots.save import Plot

__all__ = ["bench_plots", "curves_plot", "pareto_plot", "speedup_plot"]


def bench_plots(rows: Sequence[BenchRow], baseline: str | None = None) -> list[Plot]:
    """Every plot of some rows, a set for each load; names begin with the load's.

    Args:
        rows: at least one.
        baseline: an arm; otherwise `split` where it is there, else the first.

    Raises:
        IncomparableError: rows of one load differ in what must be equal.
        InputError: there is no such arm, or no run has any figure.
    """
    plots = [
        replace(plot, name=f"{comparison.name}-{plot.name}" if comparison.name else plot.name)
        for comparison in compare_arms(rows, baseline)
        for plot in _plots(comparison)
    ]
    if not plots:
        raise InputError(
            f"none of the {len(rows)} runs has a figure to plot; `bench import` lists their reasons"
        )
    return plots


def _plots(comparison: ArmComparison) -> Iterator[Plot]:
    for name in CURVES:
        if (curves := collect_curves(comparison, name)) is not None:
            yield curves_plot(curves)
    if (pareto := collect_pareto(comparison)) is not None:
        yield pareto_plot(pareto)
    if (speedup := collect_speedup(comparison)) is not None:
        yield speedup_plot(speedup)
