"""`workbench dashboard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import named_file

if TYPE_CHECKING:
    from workbench.dashboard.definition import Definition
    from workbench.dashboard.sources.results import FindKernel

PROFILE = Path("profile")


def dashboard(
    definition: Annotated[
        str, typer.Argument(metavar="[DEFINITION]", help="A YAML file, or the name of a shipped definition.")
    ] = "overview",
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of results.")] = Path(
        "results"
    ),
    profile: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="What `profile` wrote, beside what is in the results; ./profile where it is there.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path(
        "dashboard.html"
    ),
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page on 127.0.0.1; it follows a sweep as it goes on.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Of --serve; 0 takes a free one.")
    ] = 8765,
    check_source: Annotated[
        bool,
        typer.Option(
            "--check-source", help="Say which winners are of a changed kernel source (imports torch)."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the page shows as JSON.")] = False,
) -> None:
    """One offline page of a results folder: winners, what changed, timelines, throughput and TPOT, Pareto, failures.

    A damaged file is named on the page, and the rest is shown. Shipped definitions: overview, tuning, serving.

    Examples:
        workbench dashboard
        workbench dashboard tuning --results ./results --out tuning.html
        workbench dashboard mine.yaml --profile profile-b16
        workbench dashboard --serve
    """
    from workbench.base.shipped import shipped_dashboards
    from workbench.dashboard.definition import load_definition
    from workbench.trials.winners import kernel_at_hand

    loaded = load_definition(named_file(definition, shipped_dashboards(), "dashboard"))
    folders = tuple(profile) if profile is not None else (PROFILE,) if PROFILE.is_dir() else ()
    _check_folders(profile or [])
    find_kernel = kernel_at_hand if check_source else None
    if serve:
        from workbench.dashboard.serve import serve_dashboard

        serve_dashboard(loaded, results, folders, find_kernel, port=port, say=print)
        return
    record = _record(loaded, results, folders, find_kernel)
    if as_json:
        from workbench.report.table import print_json

        print_json(record)
        return
    _write(record, out)


def _record(
    loaded: Definition, results: Path, profiles: tuple[Path, ...], find_kernel: FindKernel | None
) -> dict[str, Any]:
    from workbench.dashboard.collect import collect
    from workbench.dashboard.payload import payload
    from workbench.dashboard.sources import read_results

    return payload(collect(read_results(results, profiles=profiles, find_kernel=find_kernel), loaded))


def _write(record: dict[str, Any], out: Path) -> None:
    from workbench.base.files import write_whole
    from workbench.dashboard.page import dashboard_html

    html = dashboard_html(record)
    write_whole(out, html)
    damaged = {row["cells"][0] for row in (record["damaged"] or {"rows": ()})["rows"]}
    told = f", {len(damaged)} damaged {'file' if len(damaged) == 1 else 'files'} left out" if damaged else ""
    print(
        f"{out}: {len(record['panels'])} panels, {len(html.encode()) / 1e6:.2f} MB, no network needed{told}"
    )


def _check_folders(folders: list[Path]) -> None:
    from workbench.base.errors import InputError

    for folder in folders:
        if not folder.is_dir():
            raise InputError("is no folder", file=folder, key="--profile")
