"""Which file an engine looks for, where, and what it would run with: its loader's steps, in our own words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from moe_kernels.tunable import Problem
from workbench.base.errors import InputError
from workbench.devices.device import Device
from workbench.integrations.engine_table import EngineTable, read_table
from workbench.integrations.engines import Config, Engine, TableName
from workbench.integrations.engines.backends import TableUse, table_use
from workbench.integrations.raw_tables import RawTable, find_package, read_tables

State = Literal["taken", "no file", "not reached", "not installed", "breaks the engine"]
# The places where an engine looked, and the table that it found.
Found: TypeAlias = "tuple[tuple[Place, ...], EngineTable | None]"

BATCH_INVARIANT = "VLLM_BATCH_INVARIANT"


@dataclass(frozen=True, slots=True)
class Place:
    """One place where the engine looks.

    Attributes:
        origin: why it looks there.
        path: the file; empty where it is not known.
        reason: what is wrong, where something is.
    """

    origin: str
    path: str
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLookup:
    """What an engine does for one problem and batch.

    Attributes:
        device_name: the GPU as CUDA reports it.
        tokens: in the batch.
        name: the file that it looks for.
        places: where it looks, in order.
        table: what it finds, None where it finds nothing.
        row: the token count of the row that it takes.
        config: what it runs with where Triton's kernel runs; None where its default is not known for this GPU.
        use: whether it reads a table at all.
    """

    engine: Engine
    device_name: str
    problem: Problem
    tokens: int
    name: str
    places: tuple[Place, ...]
    table: EngineTable | None
    row: int | None
    config: Config | None
    use: TableUse
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an engine's loader reads from outside.

    Attributes:
        named: the folder that the engine's variable names, None where it names none.
        packaged: the folder of tables in the installed package, None where it is not installed.
        triton: the Triton version that the engine runs with, None where it is not known.
    """

    named: Path | None
    packaged: Path | None
    triton: str | None
    batch_invariant: bool = False

    @classmethod
    def at_hand(cls, engine: Engine, folder: Path | None = None, triton: str | None = None) -> Surroundings:
        """What is at hand, or what is given instead.

        Raises:
            InputError: what is given as Triton's version is none.
        """
        if triton is not None:
            _check_version(engine, triton)
        variable = os.environ.get(engine.variable)
        package = find_package(engine.name)
        return cls(
            named=folder or (None if variable is None else Path(variable)),
            packaged=package / engine.package if package else None,
            triton=triton or _installed("triton"),
            batch_invariant=os.environ.get(BATCH_INVARIANT, "0") not in ("", "0"),
        )


def look_up(
    engine: Engine,
    problem: Problem,
    tokens: int,
    device_name: str,
    device: Device | None,
    surroundings: Surroundings,
) -> EngineLookup:
    """Follows the engine's loader for one problem and batch.

    Args:
        engine: the engine.
        problem: the axes of an experts' problem.
        tokens: in the batch.
        device_name: as CUDA reports it.
        device: the GPU; None where it is in no catalogue.
        surroundings: what the loader reads from outside.

    Raises:
        InputError: the engine has no tables for such a problem.
    """
    name = engine.table_name(problem, device_name)
    places, table = _LOADERS[engine.name](engine, name, surroundings)
    row = table.row_for(tokens) if table else None
    default = engine.default_config(problem, tokens, device) if device else None
    answer = EngineLookup(
        engine=engine,
        device_name=device_name,
        problem=problem,
        tokens=tokens,
        name=engine.file_name(name),
        places=places,
        table=table,
        row=row,
        config=default if table is None or row is None else dict(table.rows[row]),
        use=table_use(
            engine.name, str(problem["dtype"]), device.compute_capability if device else None, tokens
        ),
        notes=(),
    )
    if engine.name == "vllm" and surroundings.batch_invariant:
        return _batch_invariant(answer)
    return replace(answer, notes=(*_notes(answer), *_other_names(engine, name, surroundings)))


def _batch_invariant(answer: EngineLookup) -> EngineLookup:
    why = f"{BATCH_INVARIANT} is set: it takes a fixed config and looks for no table"
    never = TableUse("no", answer.use.backend, why, f"unset {BATCH_INVARIANT}")
    places = tuple(replace(place, state="not reached", reason="") for place in answer.places)
    # `get_default_config` under batch invariance.
    fixed = {"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 32, "GROUP_SIZE_M": 8}
    return replace(answer, places=places, table=None, row=None, config=fixed, use=never)


def _notes(answer: EngineLookup) -> list[str]:
    notes = []
    if answer.row is not None and answer.row != answer.tokens:
        notes.append(
            f"there is no row for {answer.tokens} tokens; the nearest is taken, nothing is interpolated"
        )
    if answer.table is None:
        notes.append(f"without a table {answer.engine.title} takes its default and logs a warning")
    else:
        notes.append("the name holds neither hidden_size nor top_k: another model's table may carry it")
    return notes


def _other_names(engine: Engine, name: TableName, surroundings: Surroundings) -> list[str]:
    """SGLang looks for a table of the second GEMM too, and for weights with a scale a channel under another name."""
    notes = []
    for other in engine.names(name)[1:]:
        _, table = _LOADERS[engine.name](engine, other, surroundings)
        what = "of weights with a scale a channel" if other.per_channel else "for the second GEMM"
        found = f"finds {table.path}" if table else "finds none"
        notes.append(f"{what} it looks for {engine.file_name(other)} and {found}")
    return notes


def _load_vllm(engine: Engine, name: TableName, surroundings: Surroundings) -> Found:
    """The variable's folder, flat, then the package's."""
    file = engine.file_name(name)
    named = [(f"${engine.variable}", surroundings.named)] if surroundings.named else []
    folders = (*named, ("the installed package", surroundings.packaged))
    return _first(engine, [(origin, folder and folder / file) for origin, folder in folders])


def _load_sglang(engine: Engine, name: TableName, surroundings: Surroundings) -> Found:
    """`configs` in the variable's folder or the package's: this Triton's, then the others', newest first."""
    file, named = engine.file_name(name), surroundings.named
    origin = f"${engine.variable}" if named else "the installed package"
    configs = named / "configs" if named else surroundings.packaged
    if configs is None:
        return (Place(origin, "", "not installed"),), None
    # The whole version: that of a nightly build ends in its commit, and no folder is named so.
    exact = [] if surroundings.triton is None else [f"triton_{surroundings.triton.replace('.', '_')}"]
    first = [(f"{origin}, this Triton", configs / folder / file) for folder in exact]
    places, table = _first(engine, first)
    if table or any(place.state != "no file" for place in places):
        return places, table
    others, broken = _version_folders(origin, configs)
    if broken:
        return (*places, broken), None
    later = [(f"{origin}, another Triton", configs / each / file) for each in others if each not in exact]
    found, table = _first(engine, later)
    return (*places, *found), table


def _version_folders(origin: str, configs: Path) -> tuple[list[str], Place | None]:
    """SGLang lists and sorts the folders only where this Triton's has no file, and raises on what it cannot sort."""
    try:
        folders = [path.name for path in configs.iterdir() if path.name.startswith("triton_")]
    except OSError as error:
        return [], Place(origin, str(configs), "breaks the engine", f"cannot be listed: {error.strerror}")
    wrong = [each for each in folders if not all(part.isdecimal() for part in _parts(each))]
    if wrong:
        return [], Place(
            origin, str(configs / wrong[0]), "breaks the engine", "its name is no version of Triton"
        )
    return sorted(folders, key=lambda each: tuple(map(int, _parts(each))), reverse=True), None


def _parts(folder: str) -> list[str]:
    return folder.removeprefix("triton_").split("_")


def _first(engine: Engine, candidates: Sequence[tuple[str, Path | None]]) -> Found:
    """The first file that is there; one that the engine cannot read ends the search, as its loader raises."""
    places: list[Place] = []
    table: EngineTable | None = None
    for origin, path in candidates:
        if any(place.state in ("taken", "breaks the engine") for place in places):
            places.append(Place(origin, str(path or ""), "not reached"))
        elif path is None:
            places.append(Place(origin, "", "not installed"))
        elif not os.path.exists(path):  # noqa: PTH110 - as the engines ask: False for a name that is too long
            places.append(Place(origin, str(path), "no file"))
        else:
            place, table = _read(engine, origin, path)
            places.append(place)
    return tuple(places), table


def _read(engine: Engine, origin: str, path: Path) -> tuple[Place, EngineTable | None]:
    try:
        table = read_table(_raw(path), engine)
    except InputError as error:
        reason = f"{error.key}: {error.message}" if error.key else error.message
        return Place(origin, str(path), "breaks the engine", reason), None
    return Place(origin, str(path), "taken"), table


def _raw(path: Path) -> RawTable:
    if not path.is_file():
        return RawTable(path=PurePosixPath(path.as_posix()), problem="is no file")
    return read_tables(path)[0]


def _check_version(engine: Engine, triton: str) -> None:
    try:
        engine.folder(triton)
    except InputError as error:
        raise InputError(error.message, key="--triton") from None


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_LOADERS: Mapping[str, Callable[[Engine, TableName, Surroundings], Found]] = {
    "vllm": _load_vllm,
    "sglang": _load_sglang,
}
