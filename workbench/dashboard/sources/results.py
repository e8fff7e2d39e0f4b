"""A results folder as a whole: winners, runs, bench rows and profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.base.errors import InputError
from workbench.bench.rows import FOLDER as BENCH
from workbench.bench.rows import BenchRow, bench_files, read_bench
from workbench.dashboard.sources.damage import Damage, Damages
from workbench.dashboard.sources.profiles import SavedProfile, read_profiles
from workbench.dashboard.sources.runs import SweepRun, read_runs
from workbench.trials.winners import FiledWinner, KernelAtHand, read_winners

FindKernel = Callable[[str, Mapping[str, int | str]], KernelAtHand | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that a results folder holds.

    Attributes:
        now: what ages are counted from.
        winners: every row of every results file.
        runs: of sweeps, the latest first.
    """

    folder: Path
    now: datetime
    winners: tuple[FiledWinner, ...]
    runs: tuple[SweepRun, ...]
    bench: tuple[BenchRow, ...]
    profiles: tuple[SavedProfile, ...]
    damaged: tuple[Damage, ...]


def read_results(
    folder: Path,
    *,
    profiles: Sequence[Path] = (),
    find_kernel: FindKernel | None = None,
    now: datetime | None = None,
) -> Results:
    """Reads a results folder; what is damaged in it is named and left out.

    Args:
        folder: of results.
        profiles: other folders of profiles.
        find_kernel: the kernel of a name as it is now; without it the default configs come from the runs, and no
            winner's source is compared.
        now: what ages are counted from.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError("is no folder; `sweep` makes one", file=folder, key="--results")
    damages, now = Damages(), now or datetime.now(UTC)
    runs = tuple(read_runs(folder, damages))
    at_hand = find_kernel or _Known(runs).find
    winners = read_winners([folder], at_hand, now=now, damaged=damages)
    bench = tuple(row for path in bench_files(folder) for row in _bench_rows(path, damages))
    found = tuple(read_profiles([folder, *profiles], damages))
    return Results(
        folder=folder,
        now=now,
        winners=tuple(winner for winner in winners if winner.kernel != BENCH),
        runs=runs,
        bench=bench,
        profiles=found,
        damaged=tuple(damages.found),
    )


class _Known:
    """Kernels as the latest runs describe them: importing the kernels themselves would import torch."""

    def __init__(self, runs: Sequence[SweepRun]) -> None:
        self._defaults: Mapping[str, Mapping[str, Any]] = {
            run.kernel: run.default for run in reversed(runs) if run.default
        }

    def find(self, name: str, problem: Mapping[str, int | str]) -> KernelAtHand | None:
        default = self._defaults.get(name)
        return KernelAtHand(default=default, source_hash=None) if default else None


def _bench_rows(path: Path, damages: Damages) -> Sequence[BenchRow]:
    try:
        return read_bench(path).rows
    except InputError as error:
        damages(error)
        return ()
