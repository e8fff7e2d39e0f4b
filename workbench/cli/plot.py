"""`workbench plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import filed_slug

if TYPE_CHECKING:
    from workbench.bench.rows import BenchRow
    from workbench.plots.save import Plot

app = typer.Typer(no_args_is_help=True, help="Pictures of what was found: PNG and SVG, light and dark.")

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the files' names as JSON.")]


@app.command()
def sweep(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, how it begins, or its folder.")],
    problem: Annotated[
        str | None,
        typer.Option(metavar="K=V,...", help="Only the problems with these axes.", show_default=False),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            "--x", metavar="NAME", help="The landscape's x; the most important.", show_default=False
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            "--y", metavar="NAME", help="The landscape's y; the next important.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = Path("plots"),
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """What a sweep's search learned: convergence, parameter importance, the landscape, and what failed and why.

    Examples:
        workbench plot sweep routing-b200
        workbench plot sweep results/runs/routing-b200-65638b629c35fca8 --problem tokens=8 --x num_warps
    """
    from workbench.plots.sweep import sweep_plots
    from workbench.trials.recorded_run import find_run, read_run, select_problems

    recorded = read_run(find_run(run, results))
    problems = select_problems(recorded, problem)
    _save(sweep_plots(recorded, problems, x=x, y=y), out / recorded.name, as_json)


@app.command()
def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE...]", help="Files of bench rows; otherwise all of a device."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its rows below --results.", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="ARM", help="What others are compared with; `split`, else the first.", show_default=False
        ),
    ] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this load.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = Path("plots"),
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """TPOT, TTFT and throughput by arm and concurrency, the Pareto frontier, and speed-ups over a baseline.

    Rows of one load must be of one device, model and number of GPUs; otherwise the exit code is 2.

    Examples:
        workbench plot bench --device b200
        workbench plot bench results/NVIDIA_B200/bench/*.json --baseline split
    """
    from workbench.plots.bench import bench_plots

    _save(bench_plots(_rows(files or [], device, workload, results), baseline), out, as_json)


def _rows(files: Sequence[Path], device: str | None, workload: str | None, results: Path) -> list[BenchRow]:
    from workbench.base.errors import InputError
    from workbench.bench.rows import bench_files, read_bench

    paths = list(files) or list(bench_files(results, device and filed_slug(device, (results,))))
    rows = [row for path in paths for row in read_bench(path).rows]
    chosen = [row for row in rows if workload in (None, row.workload)]
    if not rows:
        raise InputError("there are no bench rows; `bench import` and `bench run` write them", file=results)
    if not chosen:
        names = ", ".join(sorted({row.workload or "(none)" for row in rows}))
        raise InputError(f"no row of the load {workload!r}; there are: {names}", key="--workload")
    return chosen


def _save(plots: Sequence[Plot], folder: Path, as_json: bool) -> None:
    from workbench.plots.save import save_plots
    from workbench.report.table import print_json

    files = save_plots(plots, folder)
    if as_json:
        print_json([str(path) for path in files])
    else:
        print("\n".join(map(str, files)))
