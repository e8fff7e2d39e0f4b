"""Kernel Tuner's cache files: a JSON object with `tune_params` and a `cache` that holds every config's time in ms.

Source: Kernel Tuner's documentation of its cache files. `time` is a string where the config failed, naming how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moe_kernels.tunable import Axis, Value
from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.replay import recording
from workbench.replay.landscape import Landscape, RecordedFailure
from workbench.trials.config_table import ConfigTable
from workbench.trials.trial import Status

US_PER_MS = 1000.0
# How Kernel Tuner before 1.0 marked a failure: as this time, ms.
FAILED_MS = 1e20

_STATUS = {
    "InvalidConfig": Status.PRUNED,
    "CompilationFailedConfig": Status.COMPILE_ERROR,
    "RuntimeFailedConfig": Status.CRASHED,
}
_AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class _Entry:
    code: tuple[int, ...]
    time_us: float
    failure: RecordedFailure | None


def looks_like(top: Any) -> bool:
    """True for the top level of a Kernel Tuner cache file."""
    return isinstance(top, dict) and ("cache" in top or "tune_params" in top)


def landscape_of(top: Mapping[str, Any], path: Path, digest: str) -> Landscape:
    """The landscape in a cache file's top level.

    Raises:
        InputError: names the key that is missing, of the wrong type, or does not match its values.
    """
    levels = _levels(top, path)
    entries = [_entry(key, entry, levels, path) for key, entry in _cache(top, path).items()]
    times = np.array([entry.time_us for entry in entries])
    if not np.isfinite(times).any():
        raise InputError("every config of the recording failed", file=path, key="cache")
    codes = np.array([entry.code for entry in entries], dtype=np.uint32)
    problem = dict(_problem(top.get("problem_size"), path))
    failures = {row: entry.failure for row, entry in enumerate(entries) if entry.failure}
    return Landscape(
        path=path,
        digest=digest,
        kernel=recording.kernel_name(recording.taken(top, "kernel_name", str, path), path),
        device_name=recording.device_name(recording.taken(top, "device_name", str, path), path),
        problem=problem,
        axes=tuple(Axis(name, name, ladder=place == 0) for place, name in enumerate(problem)),
        parameters=tuple(recording.guessed_parameter(name, values) for name, values in levels.items()),
        table=ConfigTable(levels, codes),
        times_us=times,
        failures=failures,
    )


def _levels(top: Mapping[str, Any], path: Path) -> dict[str, tuple[Value, ...]]:
    keys, params = (
        recording.taken(top, "tune_params_keys", list, path),
        recording.taken(top, "tune_params", dict, path),
    )
    if not keys or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(params):
        what = "wrong schema: must list the keys of tune_params, each once"
        raise InputError(what, file=path, key="tune_params_keys")
    return {key: _values(params[key], path, f"tune_params.{key}") for key in keys}


def _values(values: Any, path: Path, key: str) -> tuple[Value, ...]:
    sound = (
        isinstance(values, list) and values and all(isinstance(each, int | float | str) for each in values)
    )
    if not sound or len({str(value) for value in values}) != len(values):
        what = "wrong schema: must be a list of different numbers or strings"
        raise InputError(what, file=path, key=brief(key, 80))
    return tuple(values)


def _cache(top: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    cache: Mapping[str, Any] = recording.taken(top, "cache", dict, path)
    if not cache:
        raise InputError("holds no config", file=path, key="cache")
    return cache


def _entry(key: str, entry: Any, levels: Mapping[str, Sequence[Value]], path: Path) -> _Entry:
    where = f"cache[{brief(key, 80)}]"
    if not isinstance(entry, dict) or "time" not in entry:
        raise InputError("wrong schema: must be a mapping with a time", file=path, key=where)
    code = tuple(_code(name, entry.get(name), values, path, where) for name, values in levels.items())
    named = ",".join(str(values[place]) for values, place in zip(levels.values(), code, strict=True))
    if named != key:
        raise InputError(f"the key does not match its values, {brief(named, 80)}", file=path, key=where)
    return _Entry(code, *_time(entry["time"], path, where))


def _code(name: str, value: Any, values: Sequence[Value], path: Path, where: str) -> int:
    for place, level in enumerate(values):
        if level == value and isinstance(level, str) == isinstance(value, str):
            return place
    what = f"{brief(name, 40)} is {brief(repr(value), 40)}, which tune_params does not list"
    raise InputError(what, file=path, key=where)


def _time(time: Any, path: Path, where: str) -> tuple[float, RecordedFailure | None]:
    if isinstance(time, str):
        return float("nan"), RecordedFailure(
            _STATUS.get(time, Status.CRASHED), f"recorded as {brief(time, 80)}"
        )
    if not isinstance(time, int | float) or isinstance(time, bool):
        raise InputError(
            "wrong schema: time must be milliseconds or the name of a failure", file=path, key=where
        )
    if time == FAILED_MS:
        return float("nan"), RecordedFailure(Status.CRASHED, "recorded as 1e20 ms")
    return recording.positive_time(float(time), path, where) * US_PER_MS, None


def _problem(size: Any, path: Path) -> Iterator[tuple[str, int]]:
    sizes = size if isinstance(size, list) else [size]
    if not 1 <= len(sizes) <= len(_AXES) or not all(type(each) is int and each > 0 for each in sizes):
        what = f"wrong schema: must be 1 to 3 positive integers, got {brief(repr(size), 60)}"
        raise InputError(what, file=path, key="problem_size")
    names = [f"size_{axis}" for axis in _AXES] if len(sizes) > 1 else ["size"]
    yield from zip(names, sizes, strict=False)
