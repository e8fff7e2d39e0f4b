"""Several files at once: all of them are written, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from workbench.errors import InputError


def write_all(texts: Mapping[Path, str]) -> None:
    """Writes files aside, flushed, and renames them only when every one of them is there.

    Raises:
        InputError: one cannot be written.
    """
    aside = {path: path.with_name(f".{os.getpid()}.tmp-{number}") for number, path in enumerate(texts)}
    current = Path()
    try:
        for current, text in texts.items():
            _stage(current, aside[current], text)
        for current, staged in aside.items():
            staged.replace(current)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", file=current) from error
    finally:
        for staged in aside.values():
            with suppress(OSError):
                staged.unlink()


def _stage(path: Path, aside: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(None, "is a folder")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
