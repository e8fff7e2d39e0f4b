"""Files that ship with this tool: beside the package in a checkout, inside it where it was installed from a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_sweeps() -> Mapping[str, Path]:
    """The shipped sweep files by name without suffix."""
    return _by_name("sweeps")


def shipped_workloads() -> Mapping[str, Path]:
    """The shipped workload files by name without suffix."""
    return _by_name("workloads")


def shipped_dashboards() -> Mapping[str, Path]:
    """The shipped definitions of dashboards by name without suffix."""
    return _by_name("dashboards")


def shipped_asset(name: str) -> Path:
    """A template, style sheet or script of a page."""
    return _folder("dashboards") / name


def _by_name(folder: str) -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(_folder(folder).glob("*.yaml"))}


def _folder(name: str) -> Path:
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
