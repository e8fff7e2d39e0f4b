"""`workbench sweep`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import Nvtx, named_file
from workbench.cli.completion import device_names, sweep_names

if TYPE_CHECKING:
    from workbench.devices import Device
    from workbench.executors.site import Site
    from workbench.sweep.plan import SweepPlan
    from workbench.sweep.spec import LoadedSpec

    Elsewhere = tuple[Device | None, str | None]


def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A sweep file, or the name of a shipped one (`routing`).",
            autocompletion=sweep_names,
        ),
    ],
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="`auto`: the GPU at hand, else what the sweep names; or a slug, alias or YAML.",
            autocompletion=device_names,
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The results folder: `results`, for a replayed sweep `results/replayed`.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The most configs tried a problem.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Compiling workers; one a core.", show_default=False),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="GPUs to measure on; all of one kind.", show_default=False),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Work on the Ray cluster there.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of the search.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="Give up on a config that compiles or runs for longer.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the earlier journal is put aside.")
    ] = False,
    nvtx: Nvtx = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Find the best configs of a kernel, from a YAML file to the JSON that the model module loads.

    Where the sweep's GPU is at hand, configs are verified and timed on it (measured). Elsewhere they are compiled for
    it, verified in Triton's interpreter and ranked by a model (modelled): nothing is timed, and the output says so.
    A sweep file with `evaluate: {replay: FILE}` searches a recording (replayed).
    Killed at any moment, the same command continues.

    Exit codes: 0 done, 2 bad input, 3 no problem has a valid config, 130 interrupted.

    Examples:
        workbench sweep sweeps/routing.yaml
        workbench sweep routing --device rtx5090 --out /tmp/results
        workbench sweep sweeps/routing.yaml --dry-run
    """
    # Inherited, it would have configs interpreted that are to be compiled; a sweep's interpreters set it themselves.
    os.environ.pop("TRITON_INTERPRET", None)
    from workbench.base.errors import NothingValidError
    from workbench.base.ranges import nvtx_ranges
    from workbench.sweep.plan import make_plans
    from workbench.sweep.spec import load_spec

    loaded = load_spec(sweep_file(file)).override(trials=trials, seed=seed)
    with nvtx_ranges(nvtx), _site(ray, gpus) as (site, elsewhere, cores):
        plans = make_plans(
            loaded, device, out=out or _results_folder(loaded), jobs=jobs or cores, elsewhere=elsewhere
        )
        if dry_run:
            _show_plans(plans, as_json)
            return
        found = _run(plans, site, fresh, timeout, as_json)
    if not found:
        raise NothingValidError(f"{file}: no problem has a valid config; trials.jsonl has the reasons")


@contextmanager
def _site(ray: str | None, gpus: int | None) -> Iterator[tuple[Site, Elsewhere | None, int | None]]:
    """Where to work; of a cluster, the GPU that it has and its cores too."""
    if ray is None:
        from workbench.executors.site import local_site

        yield local_site(gpus), None, None
    else:
        from workbench.executors.ray import ray_site

        with ray_site(ray, gpus) as site:
            yield site, site.gpu_at_hand(), site.cpus


def _results_folder(loaded: LoadedSpec) -> Path:
    """Replayed winners stay out of where lookups and measured winners are."""
    return Path("results/replayed") if loaded.spec.evaluate else Path("results")


def sweep_file(name: str) -> Path:
    """The file that a name means: a path, or a shipped sweep by its bare name."""
    from workbench.base.shipped import shipped_sweeps

    return named_file(name, shipped_sweeps(), "sweep")


def _show_plans(plans: Sequence[SweepPlan], as_json: bool) -> None:
    from workbench.report.plan import plan_record, plan_table
    from workbench.report.table import print_json, print_table

    if as_json:
        print_json([plan_record(plan) for plan in plans])
    else:
        for plan in plans:
            print_table(plan_table(plan))


def _run(plans: Sequence[SweepPlan], site: Site, fresh: bool, timeout: float | None, as_json: bool) -> bool:
    """Runs and reports each plan; True where some problem of some plan has a winner."""
    from workbench.report.progress import SweepProgress
    from workbench.report.sweep import sweep_record, sweep_report
    from workbench.report.sweep_tables import sweep_tables
    from workbench.report.table import print_json, print_table
    from workbench.sweep.evaluators.open import TIMEOUTS, Timeouts
    from workbench.sweep.run import check_results, run_sweep

    timeouts = Timeouts(timeout, timeout, timeout) if timeout else TIMEOUTS
    # The first is checked as it begins; the others must not turn out to be impossible after hours of its work.
    for later in plans[1:]:
        check_results(later)
    records, found = [], False
    for plan in plans:
        with SweepProgress() as progress:
            outcome = run_sweep(plan, progress, fresh=fresh, timeouts=timeouts, site=site)
        report = sweep_report(outcome)
        found |= len(outcome.empty) < len(outcome.problems)
        records.append(sweep_record(report))
        for table in () if as_json else sweep_tables(report):
            print_table(table)
    if as_json:
        print_json(records)
    return found
