"""Reads a results file that somebody named or that lies in a results folder."""

from __future__ import annotations

from pathlib import Path

from moe_kernels.tuned import TunedFile, TunedFileError, read_tuned
from workbench.errors import InputError


def read_results_file(path: Path) -> TunedFile:
    """The winners of one kernel on one device and problem.

    Raises:
        InputError: names file, line and key: it is damaged or has vanished.
    """
    try:
        file = read_tuned(path)
    except TunedFileError as error:
        raise InputError(f"damaged: {error.message}", file=path, line=error.line, key=error.key) from error
    if file is None:
        raise InputError("vanished while it was read", file=path)
    return file
