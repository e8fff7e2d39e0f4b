"""What is known from elsewhere before a sweep begins: its `seeds:`, and other GPUs' winners of the same kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from moe_kernels.tunable import Config, TunableKernel
from moe_kernels.tuned import TunedFile, TunedFileError, parse, results_folders
from workbench.base.errors import InputError
from workbench.integrations.seed_groups import seed_groups as engine_groups
from workbench.integrations.seeds_file import is_seeds_file, read_seeds
from workbench.replay import DEVICE, Landscape, read_landscapes
from workbench.replay.journals import is_journal
from workbench.replay.recording import read_recording
from workbench.search.strategy import SeedGroup, SeedRow
from workbench.sweep.plan import SweepPlan

# A landscape of a million configs teaches a search no more than this many of it, the fastest among them.
MAX_ROWS = 2000


def seed_groups(plan: SweepPlan) -> tuple[SeedGroup, ...]:
    """Everything that a sweep starts from.

    Raises:
        InputError: a file of `seeds:` is damaged or of another kernel; other GPUs' winners are left out if damaged.
    """
    given = [group for index in range(len(plan.loaded.spec.seeds)) for group in _given(plan, index)]
    return (*given, *_winners_elsewhere(plan))


def as_json(groups: Sequence[SeedGroup]) -> list[dict[str, Any]]:
    """Groups as JSON can hold them."""
    return [asdict(group) for group in groups]


def from_json(records: Sequence[Mapping[str, Any]]) -> tuple[SeedGroup, ...]:
    """The groups that `as_json` wrote."""
    return tuple(
        SeedGroup(each["source"], each["problem"], tuple(SeedRow(**row) for row in each["rows"]))
        for each in records
    )


def _given(plan: SweepPlan, index: int) -> Iterator[SeedGroup]:
    path = plan.loaded.path(plan.loaded.spec.seeds[index])
    with plan.loaded.located("seeds", index):
        if is_seeds_file(path):
            yield from engine_groups(read_seeds(path), plan.space.problems, plan.kernel)
            return
        if not is_journal(path) and (file := _results_file(path)) is not None:
            _check_names(path, file.kernel, plan.kernel)
            yield from _winners(path, file, plan.kernel)
            return
        for landscape in read_landscapes(path):
            _check_names(path, landscape.kernel, plan.kernel)
            yield _of_landscape(landscape, plan.kernel)


def _results_file(path: Path) -> TunedFile | None:
    try:
        return parse(read_recording(path).decode("utf-8"))
    except (TunedFileError, UnicodeDecodeError):
        return None


def _check_names(path: Path, found: str, kernel: TunableKernel) -> None:
    if found != kernel.name:
        raise InputError(f"is of the kernel {found!r}, not of {kernel.name!r}", file=path)


def _of_landscape(landscape: Landscape, kernel: TunableKernel) -> SeedGroup:
    """The fastest rows, and as many others evenly through the rest: what is bad teaches too."""
    order = np.argsort(np.nan_to_num(landscape.times_us, nan=np.inf), kind="stable")
    if len(order) > MAX_ROWS:
        rest = order[MAX_ROWS // 2 :]
        order = np.concatenate([order[: MAX_ROWS // 2], rest[:: -(-len(rest) // (MAX_ROWS // 2))]])
    rows = (
        SeedRow(_completed(landscape.table[int(row)], kernel), _time(float(landscape.times_us[row])))
        for row in order
    )
    return SeedGroup(str(landscape.path), {DEVICE: landscape.device, **landscape.problem}, tuple(rows))


def _time(time_us: float) -> float | None:
    return None if np.isnan(time_us) else time_us


def _completed(config: Config, kernel: TunableKernel) -> Config:
    """A config of an older or a narrower space, as one of this kernel."""
    known = kernel.default_config
    return {**known, **{name: value for name, value in config.items() if name in known}}


def _winners_elsewhere(plan: SweepPlan) -> Iterator[SeedGroup]:
    """The winners of the same kernel on other GPUs, in the folders where the model module looks.

    Problems with other axes have other code, and say nothing of these.
    """
    axes = {axis.name for axis in plan.kernel.axes if not axis.ladder}
    folders = dict.fromkeys([plan.out.resolve(), *(each.path.resolve() for each in results_folders())])
    for folder in folders if plan.family is None else ():
        for path in sorted(folder.glob(f"*/{plan.kernel.name}/*.json")):
            file = _readable(path)
            if file is not None and file.device != plan.device.slug and file.problem.keys() == axes:
                yield from _winners(path, file, plan.kernel)


def _readable(path: Path) -> TunedFile | None:
    try:
        return _results_file(path)
    except InputError:
        return None


def _winners(path: Path, file: TunedFile, kernel: TunableKernel) -> Iterator[SeedGroup]:
    for tokens, row in file.rows.items():
        problem = {DEVICE: file.device, **file.problem, kernel.ladder.name: tokens}
        yield SeedGroup(
            str(path), problem, (SeedRow(_completed(row.config, kernel), row.time_us, chosen=True),)
        )
