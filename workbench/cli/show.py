"""`workbench show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.arguments import filed_slug, results_paths
from workbench.cli.frame_files import CsvFile, ParquetFile, write_frame


def show(
    device: Annotated[
        str | None,
        typer.Argument(
            metavar="DEVICE", help="Only this one: a slug, CUDA's name or an alias.", show_default=False
        ),
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this kernel.", show_default=False)
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            "--out",
            metavar="DIR",
            help="Folder of results; otherwise those that a lookup reads.",
            show_default=False,
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Print whole configs, not only what differs from the default.")
    ] = False,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """The winners: config, evidence, time, speed-up, age, and whether they are still current.

    Examples:
        workbench show
        workbench show b200 --kernel routing
        workbench show --results ./results --full
        workbench show b200 --csv winners.csv --parquet winners.parquet
    """
    from workbench.report.table import print_json, print_table
    from workbench.report.winners import winners_tables
    from workbench.trials.frames import winners_frame
    from workbench.trials.winners import kernel_at_hand, read_winners, winner_record

    folders = results_paths(results)
    slug = device and filed_slug(device, folders)
    _check_kernel(kernel, folders)
    winners = read_winners(folders, kernel_at_hand, device=slug, kernel=kernel)
    write_frame(csv, parquet, lambda: winners_frame(winners))
    if as_json:
        print_json([winner_record(winner) for winner in winners])
        return
    for table in winners_tables(winners, full=full):
        print_table(table)
    if not winners:
        print(f"There are no winners{f' for {slug}' if slug else ''} in {', '.join(map(str, folders))}.")


def _check_kernel(kernel: str | None, folders: tuple[Path, ...]) -> None:
    from moe_kernels.registry import TUNABLES
    from workbench.base.errors import InputError
    from workbench.trials.winners import results_files

    if kernel is None or kernel in (found := {path.parts[-2] for path in results_files(folders)}):
        return
    if kernel not in TUNABLES:
        known = ", ".join(sorted(found)) or "none"
        raise InputError(f"unknown kernel {kernel!r}; there are winners of: {known}", key="--kernel")
