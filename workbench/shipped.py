"""Files that ship with this tool: beside the package in a checkout, inside it where it was installed from a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped_sweeps() -> Mapping[str, Path]:
    """The shipped sweep files by name without suffix."""
    return _shipped("sweeps")


def shipped_workloads() -> Mapping[str, Path]:
    """The shipped workload files by name without suffix."""
    return _shipped("workloads")


def _shipped(name: str) -> Mapping[str, Path]:
    installed = _PACKAGE / "_shipped" / name
    folder = installed if installed.is_dir() else _PACKAGE.parent / name
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
