"""An engine's tables as seeds: configs that somebody tuned for a GPU, for a sweep to start from and to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moe_kernels.device_slug import device_slug
from moe_kernels.tunable import Problem
from workbench.base.errors import InputError
from workbench.integrations.engine_table import EngineTable, read_table
from workbench.integrations.engine_winners import KERNEL, VARIANT
from workbench.integrations.engines import CONFIG_KEYS, Engine
from workbench.integrations.engines.engine import TRITON_DEFAULTS
from workbench.integrations.raw_tables import RawTable
from workbench.integrations.seeds_file import Seed, Seeds


@dataclass(frozen=True, slots=True)
class ImportedTable:
    """One table that was read.

    Attributes:
        device: the slug of its device.
        problem: the axes that its name decides; None where no problem of ours has such a table.
        skipped: why it gives no seeds, empty where it gives some.
    """

    table: EngineTable
    device: str
    problem: Problem | None
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found.

    Attributes:
        tables: those that were read and asked for.
        unreadable: path and reason of those that the engine itself could not read.
    """

    engine: Engine
    tables: tuple[ImportedTable, ...]
    unreadable: tuple[tuple[str, str], ...]
    seeds: Seeds


def import_seeds(
    engine: Engine,
    raws: Sequence[RawTable],
    *,
    device: str | None = None,
    axes: Problem | None = None,
) -> Imported:
    """Reads tables as seeds.

    Args:
        engine: whose tables.
        raws: a single file, which must be readable, or all of a folder, of which unreadable ones are named.
        device: only this slug.
        axes: only problems that agree in these axes, as far as a table's name decides them.

    Raises:
        InputError: the single file cannot be read, or nothing is left.
    """
    read: list[EngineTable] = []
    unreadable: list[tuple[str, str]] = []
    for raw in raws:
        try:
            read.append(read_table(raw, engine))
        except InputError as error:
            if len(raws) == 1:
                raise
            unreadable.append(
                (str(raw.path), f"{error.key}: {error.message}" if error.key else error.message)
            )
    every = [_described(engine, table) for table in read]
    tables = [each for each in every if _is_asked_for(each, device, axes or {})]
    seeds = tuple(seed for each in tables if not each.skipped for seed in _seeds(engine, each))
    if not seeds:
        raise InputError(_nothing(every, tables), key="--device" if device else None)
    return Imported(engine, tuple(tables), tuple(unreadable), Seeds(KERNEL, seeds))


def _described(engine: Engine, table: EngineTable) -> ImportedTable:
    name = table.name
    problem = engine.axes_of(name)
    if name.backend:
        skipped = f"for the backend {name.backend}, not for Triton's kernel"
    elif name.down:
        skipped = "for the second GEMM alone; a config of ours serves both"
    elif problem is None:
        skipped = f"no kernel of ours runs dtype {name.dtype or 'bf16'} with block shape {name.block_shape}"
    else:
        skipped = ""
    return ImportedTable(table, device_slug(name.device), problem, skipped)


def _is_asked_for(each: ImportedTable, device: str | None, axes: Problem) -> bool:
    if device not in (None, each.device):
        return False
    decided = each.problem or {}
    return all(decided.get(axis, value) == value for axis, value in axes.items())


def _seeds(engine: Engine, each: ImportedTable) -> list[Seed]:
    place = "/".join(each.table.path.parts[-2:])
    return [
        Seed(
            source=f"{engine.title}: {place}",
            device=each.device,
            problem={**(each.problem or {}), "tokens": tokens},
            config=_config(row),
        )
        for tokens, row in each.table.rows.items()
        if all(key in row for key in CONFIG_KEYS[:4])
    ]


def _config(row: Mapping[str, int]) -> dict[str, int]:
    return {**{key: row.get(key, TRITON_DEFAULTS.get(key, 0)) for key in CONFIG_KEYS}, VARIANT: 0}


def _nothing(every: Sequence[ImportedTable], asked: Sequence[ImportedTable]) -> str:
    if asked:
        return f"no seeds: {asked[0].table.path.name} is {asked[0].skipped}"
    devices = ", ".join(sorted({each.device for each in every if each.device})) or "none"
    return f"no table is asked for; there are tables for {devices}"
