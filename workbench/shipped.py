"""Files that ship with this tool: beside the package in a checkout, inside it where it was installed from a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped_sweeps() -> Mapping[str, Path]:
    """The shipped sweep files by name without suffix."""
    installed = _PACKAGE / "_shipped" / "sweeps"
    folder = installed if installed.is_dir() else _PACKAGE.parent / "sweeps"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
