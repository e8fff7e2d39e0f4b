"""Arguments that several commands about results and engines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from moe_kernels.tunable import Axis

Nvtx = Annotated[
    bool, typer.Option("--nvtx", help="Name ranges for Nsight Systems (nsys); they cost a little time.")
]


def check_evidence(evidence: str | None) -> None:
    """Refuses what is neither `measured` nor `modelled`.

    Raises:
        InputError: names the option.
    """
    from workbench.base.errors import InputError

    if evidence not in (None, "measured", "modelled"):
        raise InputError(f"must be measured or modelled, got {evidence!r}", key="--evidence")


def results_paths(results: Path | None) -> tuple[Path, ...]:
    """The folder of results that was named, else those that a lookup reads.

    Raises:
        InputError: it is no folder.
    """
    from moe_kernels.tuned import results_folders
    from workbench.base.errors import InputError

    if results is None:
        return tuple(folder.path for folder in results_folders())
    if not results.is_dir():
        raise InputError("is no folder", file=results)
    return (results,)


def filed_slug(device: str, folders: Sequence[Path]) -> str:
    """The slug of a device: a name under which results are filed, else a name of the catalogue.

    Raises:
        InputError: there is no such device.
    """
    from workbench.devices import find_device

    # A device of the user's own is in no catalogue, but its results are filed.
    filed = {path.name for folder in folders for path in folder.glob("*/") if path.is_dir()} - {"runs"}
    return device if device in filed else find_device(device).slug


def parse_axes(text: str, axes: Sequence[Axis], whose: str = "the axes are") -> dict[str, int | str]:
    """Reads `E=128,H=2816`: axes by their names or short names, all or some of them.

    Args:
        text: as given.
        axes: those that there are.
        whose: what stands before their names in an error.

    Raises:
        InputError: one is no axis, is given twice or has a value of the wrong type.
    """
    from workbench.base.errors import InputError

    by_name = {name: axis for axis in axes for name in (axis.name, axis.short)}
    problem: dict[str, int | str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or name not in by_name:
            what = f"{item!r} is no axis=value; {whose} {spelled_axes(axes)}"
            raise InputError(what, key="--problem")
        axis = by_name[name]
        if axis.name in problem:
            raise InputError(f"{axis.name} is given twice", key="--problem")
        problem[axis.name] = _axis_value(axis, value)
    return problem


def spelled_axes(axes: Sequence[Axis]) -> str:
    """`num_experts (E), top_k (K)`."""
    return ", ".join(f"{axis.name} ({axis.short})" for axis in axes)


def _axis_value(axis: Axis, text: str) -> int | str:
    from workbench.base.errors import InputError

    if axis.kind == "dtype":
        if text not in axis.words:
            allowed = ", ".join(axis.words)
            raise InputError(f"{axis.name} must be one of {allowed}, got {text!r}", key="--problem")
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) > 0):
        raise InputError(f"{axis.name} must be a positive integer, got {text!r}", key="--problem")
    return int(text)


def named_file(name: str, shipped: Mapping[str, Path], kind: str) -> Path:
    """The file that a name means: a path, or a shipped file by its bare name.

    Args:
        name: as given.
        shipped: files by their bare names.
        kind: what they are, for the error.

    Raises:
        InputError: there is neither; lists the shipped names.
    """
    from workbench.base.errors import InputError

    path = Path(name)
    if _exists(path) or (name not in shipped and len(path.parts) == 1 and path.suffix):
        return path
    if name in shipped:
        return shipped[name]
    raise InputError(
        f"no such file, and no shipped {kind} of that name; shipped: {', '.join(shipped)}", file=name
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the file system takes
        return False


def comma_list(text: str | None) -> list[str] | None:
    """The parts of `a,b,c`; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def comma_counts(text: str | None, key: str) -> list[int] | None:
    """The numbers of `1,2,4`; None stays None.

    Raises:
        InputError: one is no number; names the option.
    """
    from workbench.base.errors import InputError

    parts = comma_list(text)
    if parts is None:
        return None
    if wrong := [part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 10)]:
        raise InputError(f"must be numbers separated by commas, got {wrong[0]!r}", key=key)
    return [int(part) for part in parts]
