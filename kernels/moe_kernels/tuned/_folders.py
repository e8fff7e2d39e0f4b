"""Where results are looked for, and what is found there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from moe_kernels.tuned._json import MAX_CHARACTERS, TunedFileError
from moe_kernels.tuned.format import TunedFile, parse

RESULTS_VARIABLE = "WORKBENCH_RESULTS"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of results: `<path>/<DEVICE>/<kernel>/<problem>.json`.

    Attributes:
        origin: why it is looked into, for example `$WORKBENCH_RESULTS`.
        path: absolute.
    """

    origin: str
    path: Path


def results_folders() -> tuple[Folder, ...]:
    """The folders that a lookup considers, in order, each once: it may be two of them at the same time."""
    candidates = [("./results", Path("results")), ("shipped", _shipped())]
    if named := os.environ.get(RESULTS_VARIABLE):
        candidates.insert(0, (f"${RESULTS_VARIABLE}", Path(named)))
    return _distinct(Folder(origin, _absolute(path)) for origin, path in candidates if path is not None)


def _distinct(folders: Iterable[Folder]) -> tuple[Folder, ...]:
    by_path: dict[Path, Folder] = {}
    for folder in folders:
        by_path.setdefault(folder.path, folder)
    return tuple(by_path.values())


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def _shipped() -> Path | None:
    """The results in the wheel, or in a checkout those beside the package's folder."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_shipped" / "results"
    if installed.is_dir():
        return installed
    checkout = package.parents[1]
    is_checkout = package.parent.name == "kernels" and (checkout / "pyproject.toml").is_file()
    return checkout / "results" if is_checkout else None


def read_tuned(path: Path) -> TunedFile | None:
    """Reads a results file, None where there is none.

    Raises:
        TunedFileError: it is damaged or cannot be read.
    """
    try:
        # Opening anything but a regular file could block.
        if not S_ISREG(path.stat().st_mode):
            raise TunedFileError("is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_CHARACTERS + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TunedFileError(f"cannot be read: {error.strerror or error}") from error
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        raise TunedFileError("is not UTF-8") from error
