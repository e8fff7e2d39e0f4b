"""`workbench show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from moe_kernels.tunable import Problem
    from workbench.trials.winners import KernelAtHand


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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """The winners: config, evidence, time, speed-up, age, and whether they are still current.

    Examples:
        workbench show
        workbench show b200 --kernel routing
        workbench show --results ./results --full
    """
    from workbench.report.table import print_json, print_table
    from workbench.report.winners import winners_tables
    from workbench.trials.winners import read_winners, winner_record

    folders = _folders(results)
    slug = _slug(device, folders)
    _check_kernel(kernel, folders)
    winners = read_winners(folders, _find_kernel, device=slug, kernel=kernel)
    if as_json:
        print_json([winner_record(winner) for winner in winners])
        return
    for table in winners_tables(winners, full=full):
        print_table(table)
    if not winners:
        print(f"There are no winners{f' for {slug}' if slug else ''} in {', '.join(map(str, folders))}.")


def _folders(results: Path | None) -> tuple[Path, ...]:
    from moe_kernels.tuned import results_folders
    from workbench.base.errors import InputError

    if results is None:
        return tuple(folder.path for folder in results_folders())
    if not results.is_dir():
        raise InputError("is no folder", file=results)
    return (results,)


def _slug(device: str | None, folders: tuple[Path, ...]) -> str | None:
    from workbench.devices import find_device
    from workbench.trials.winners import results_files

    if device is None or device in {path.parts[-3] for path in results_files(folders)}:
        return device
    return find_device(device).slug


def _check_kernel(kernel: str | None, folders: tuple[Path, ...]) -> None:
    from moe_kernels.registry import TUNABLES
    from workbench.base.errors import InputError
    from workbench.trials.winners import results_files

    if kernel is None or kernel in (found := {path.parts[-2] for path in results_files(folders)}):
        return
    if kernel not in TUNABLES:
        known = ", ".join(sorted(found)) or "none"
        raise InputError(f"unknown kernel {kernel!r}; there are winners of: {known}", key="--kernel")


def _find_kernel(name: str, problem: Problem) -> KernelAtHand | None:
    from moe_kernels.registry import TUNABLES
    from moe_kernels.tuned import source_hash
    from workbench.trials.winners import KernelAtHand

    if name not in TUNABLES:
        return None
    kernel = TUNABLES[name].of(problem)
    return KernelAtHand(default=kernel.default_config, source_hash=source_hash(kernel.kernels))
