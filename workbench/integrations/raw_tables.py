"""The tables below a path: a file, a folder, an installed package or a wheel. Nothing of a package is run."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.base.errors import InputError
from workbench.base.files import DAMAGED_ARCHIVE, read_bytes
from workbench.base.text import brief

# Far beyond any real table.
MAX_BYTES = 4 * 1024 * 1024
MAX_REASON = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """A file that may be a table, as it was found.

    Attributes:
        path: where it is; inside a wheel, the wheel's path and the entry's.
        content: what its JSON holds, None where it is none.
        duplicates: keys that one object holds twice.
        problem: why it could not be read.
    """

    path: PurePosixPath
    content: Any = None
    duplicates: tuple[str, ...] = ()
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name, which says what the table is for."""
        return self.path.name

    @property
    def looks_like_a_table(self) -> bool:
        """Whether its name begins as a table's does, or it holds tile sizes and its name says nothing else.

        Packages also hold tables of other kernels, by the shape of a dense GEMM or a state space.
        """
        if self.name.startswith("E=") or "device_name=" in self.name:
            return self.name.startswith("E=")
        rows = self.content.items() if isinstance(self.content, dict) else ()
        return any(key.isdecimal() and isinstance(row, dict) and "BLOCK_SIZE_M" in row for key, row in rows)


def read_tables(path: Path, *packages: str) -> tuple[RawTable, ...]:
    """Reads a file, or every table below a folder or in a wheel, in the order of their paths.

    Args:
        path: the file, folder or wheel; or the name of an installed package of `packages`.
        packages: packages that may be named instead of a path.

    Raises:
        InputError: there is nothing at the path, or no table in it.
    """
    if str(path) in packages and not path.exists():
        path = _installed_package(str(path))
    if _is(path, Path.is_dir):
        found = tuple(_in_folder(path))
    elif not _is(path, Path.is_file):
        raise InputError("is no file, folder or wheel", file=path)
    elif path.suffix == ".whl":
        found = tuple(_in_wheel(path))
    else:
        return (_read(path),)
    if not found:
        raise InputError("holds no table (a file named E=...,N=...,device_name=....json)", file=path)
    return found


def _installed_package(name: str) -> Path:
    found = find_package(name)
    if found is None:
        raise InputError(f"the package {name} is not installed; give the path of its folder or wheel")
    return found


def find_package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported; None where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    """Whether there is such a thing; there is none of a name that is too long."""
    try:
        return kind(path)
    except OSError:
        return False


def _in_folder(folder: Path) -> Iterator[RawTable]:
    tables = (_read(path) for path in sorted(folder.rglob("*.json")) if _is(path, Path.is_file))
    return (table for table in tables if table.looks_like_a_table)


def _in_wheel(wheel: Path) -> Iterator[RawTable]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.filename)
            tables = (_unpack(archive, entry, wheel) for entry in entries if entry.filename.endswith(".json"))
            yield from (table for table in tables if table.looks_like_a_table)
    except DAMAGED_ARCHIVE as error:
        raise InputError(f"is no wheel: {brief(str(error), MAX_REASON)}", file=wheel) from error


def _read(path: Path) -> RawTable:
    place = PurePosixPath(path.as_posix())
    try:
        return _parse(place, read_bytes(path, MAX_BYTES))
    except InputError as error:
        return RawTable(path=place, problem=error.message)


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, wheel: Path) -> RawTable:
    place = PurePosixPath(wheel.as_posix()) / entry.filename.lstrip("/")
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_BYTES + 1)
    except DAMAGED_ARCHIVE as error:
        return RawTable(path=place, problem=f"cannot be unpacked: {brief(str(error), MAX_REASON)}")
    if len(content) > MAX_BYTES:
        return RawTable(path=place, problem=f"is larger than {MAX_BYTES} bytes, the most that is read")
    return _parse(place, content)


def _parse(path: PurePosixPath, content: bytes) -> RawTable:
    duplicates: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                duplicates.append(key)
            seen[key] = value
        return seen

    try:
        found = json.loads(content.decode(), object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        return RawTable(path=path, problem=f"is not JSON: {error.msg} in line {error.lineno}")
    # Beyond these, Python's own limits on nesting and on the digits of an integer.
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        return RawTable(path=path, problem=f"is not JSON: {type(error).__name__}")
    return RawTable(path=path, content=found, duplicates=tuple(duplicates))
