"""Several files at once: all of them are written, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from workbench.errors import InputError
from workbench.sweep.journal import check_replaceable


def write_all(texts: Mapping[Path, str]) -> None:
    """Writes files aside, flushed, and renames them only when every one of them is there.

    Raises:
        InputError: one cannot be written; then no folder is left either that was not there.
    """
    aside = {path: path.with_name(f".{os.getpid()}.tmp-{number}") for number, path in enumerate(texts)}
    made: list[Path] = []
    current = Path()
    try:
        for current, text in texts.items():
            _make_folder(current.parent, made)
            _stage(current, aside[current], text)
        for current, staged in aside.items():
            staged.replace(current)
    except BaseException as error:
        _remove([*aside.values(), *reversed(made)])
        if isinstance(error, OSError):
            raise InputError(f"cannot be written: {error.strerror or error}", file=current) from error
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Makes a folder and those above it; notes each that was not there."""
    if folder.is_dir():
        return
    if folder != folder.parent:
        _make_folder(folder.parent, made)
    folder.mkdir(exist_ok=True)
    made.append(folder)


def _stage(path: Path, aside: Path, text: str) -> None:
    check_replaceable(path)
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _remove(paths: Sequence[Path]) -> None:
    """Files, and folders where nothing else is in them by now."""
    for path in paths:
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
