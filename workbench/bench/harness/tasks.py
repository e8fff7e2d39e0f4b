"""Suites of a folder of lm-evaluation-harness's own YAML files, with data beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from workbench.base.errors import InputError
from workbench.base.files import read_text

MAX_BYTES = 1 << 26
_TAGGED = re.compile(r"(^|[\s:\[,-])!\w")


def check_folder(folder: Path, tasks: Sequence[str]) -> None:
    """Checks that a folder's task files run no code of their own.

    Raises:
        InputError: it is no folder, a file has a YAML tag (such as `!function`, which names code to import) or
            allows its data set to bring code; names file and line.
    """
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, key="--tasks-folder")
    files = sorted(
        path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") or path.name.endswith("_yaml")
    )
    if not files:
        raise InputError(f"has no YAML file, and so no {', '.join(tasks)}", file=folder, key="--tasks-folder")
    for path in files:
        _check_file(path)


def _check_file(path: Path) -> None:
    for number, text in enumerate(read_text(path, MAX_BYTES).splitlines(), 1):
        if _TAGGED.search(text.partition(" #")[0]):
            raise InputError("has a tag; task files that name code are not run", file=path, line=number)
        if "trust_remote_code" in text or "unsafe_code" in text:
            raise InputError("asks to run code; such task files are not run", file=path, line=number)
