"""The tables below a path: a file, a folder, an installed package or a wheel. Nothing of a package is run."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import InputError

# Far beyond any real table.
MAX_BYTES = 4 * 1024 * 1024


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
        path = installed_package(str(path))
    if path.is_dir():
        found = tuple(_in_folder(path))
    elif path.suffix == ".whl":
        found = tuple(_in_wheel(path))
    elif path.is_file():
        return (_parse(PurePosixPath(path.as_posix()), path.read_bytes()),)
    else:
        raise InputError("is no file, folder or wheel", file=path)
    if not found:
        raise InputError("holds no table (a file named E=...,N=...,device_name=....json)", file=path)
    return found


def installed_package(name: str) -> Path:
    """The folder of an installed package, which is not imported.

    Raises:
        InputError: it is not installed.
    """
    found = find_package(name)
    if found is None:
        raise InputError(f"the package {name} is not installed; give the path of its folder or wheel")
    return found


def find_package(name: str) -> Path | None:
    """The folder of an installed package, None where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def _in_folder(folder: Path) -> Iterator[RawTable]:
    files = (path for path in sorted(folder.rglob("*.json")) if path.is_file())
    yield from _tables((PurePosixPath(path.as_posix()), path.read_bytes()) for path in files)


def _in_wheel(wheel: Path) -> Iterator[RawTable]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = sorted(
                (entry for entry in archive.infolist() if entry.filename.endswith(".json")),
                key=lambda entry: entry.filename,
            )
            base = PurePosixPath(wheel.as_posix())
            yield from _tables(
                (base / entry.filename, archive.open(entry).read(MAX_BYTES + 1)) for entry in entries
            )
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"is no wheel: {error}", file=wheel) from error


def _tables(files: Iterable[tuple[PurePosixPath, bytes]]) -> Iterator[RawTable]:
    for path, content in files:
        table = _parse(path, content)
        if table.looks_like_a_table:
            yield table


def _parse(path: PurePosixPath, content: bytes) -> RawTable:
    if len(content) > MAX_BYTES:
        return RawTable(path=path, problem=f"is longer than {MAX_BYTES} bytes")
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
