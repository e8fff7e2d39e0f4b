"""The journals of our own sweeps as landscapes, one a problem: `runs/<run id>/`, or the `trials.jsonl` in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moe_kernels.tunable import Axis, Parameter, Problem
from moe_kernels.tuned import source_hash
from workbench.base.errors import InputError
from workbench.replay import recording
from workbench.replay.landscape import Landscape, RecordedFailure
from workbench.trials.config_table import ConfigTable
from workbench.trials.journal import read_trials
from workbench.trials.trial import Candidate, Status, Trial, digest, trial_id

TRIALS, ABOUT = "trials.jsonl", "sweep.json"


def is_journal(path: Path) -> bool:
    """True for a run's folder, and for the trials in it."""
    return path.is_dir() or path.name == TRIALS


def landscapes_of(path: Path) -> tuple[Landscape, ...]:
    """The landscapes in a journal, in the order in which its problems were first tried.

    Raises:
        InputError: names file and line: it is no journal, is damaged, holds a trial that is not the sweep's own, or
            was recorded of another source than the kernel has now.
    """
    folder = path if path.is_dir() else path.parent
    about = _About(folder / ABOUT)
    trials = _trials(folder / TRIALS, about)
    about.check_source(trials[0].problem)
    problems: dict[str, list[Trial]] = {}
    for trial in trials:
        problems.setdefault(digest(dict(trial.problem)), []).append(trial)
    return tuple(_landscape(folder / TRIALS, about, each) for each in problems.values())


class _About:
    """What a journal's `sweep.json` says of its kernel and device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        top = recording.parse_json(recording.read_recording(path), path)
        if not isinstance(top, dict):
            raise InputError("wrong schema: must be a mapping", file=path)
        kernel = recording.taken(top, "kernel", dict, path)
        device = recording.taken(top, "device", dict, path)
        self.source_hash: str = recording.taken(top, "source_hash", str, path)
        self.kernel = recording.kernel_name(
            recording.taken(kernel, "name", str, path, inside="kernel."), path
        )
        self.device_name = recording.device_name(
            recording.taken(device, "device_name", str, path, inside="device."), path
        )
        self.device_slug: str = recording.taken(device, "slug", str, path, inside="device.")
        self.routing: list[str] = recording.taken({"routing": [], **top}, "routing", list, path)
        self.axes = tuple(self._described(kernel, "axes", _axis))
        self.parameters = tuple(self._described(kernel, "parameters", _parameter))

    def _described(self, kernel: Mapping[str, Any], key: str, build: Any) -> Iterator[Any]:
        for entry in recording.taken(kernel, key, list, self.path, inside="kernel."):
            try:
                yield build(entry)
            except (KeyError, TypeError, ValueError) as error:
                what = f"wrong schema: {type(error).__name__}: {error}"
                raise InputError(what, file=self.path, key=f"kernel.{key}") from None

    def check_source(self, problem: Problem) -> None:
        """Refuses times of a kernel whose source has changed since; a kernel that does not ship has no check.

        Args:
            problem: one of the recorded ones.
        """
        from moe_kernels.registry import TUNABLES

        shipped = TUNABLES.get(self.kernel)
        if shipped is not None and (current := source_hash(shipped.of(problem).kernels)) != self.source_hash:
            what = f"recorded of another source of {self.kernel!r}, {self.source_hash}; it is {current} now"
            raise InputError(what, file=self.path, key="source_hash")


def _axis(entry: Mapping[str, Any]) -> Axis:
    return Axis(str(entry["name"]), str(entry["short"]), kind=entry["kind"], ladder=bool(entry["ladder"]))


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    kind, default = entry["kind"], entry["default"]
    if kind not in ("numeric", "binary", "categorical") or not isinstance(default, int | float | str):
        raise ValueError(f"{entry!r} describes no parameter")
    return Parameter(str(entry["name"]), default, kind=kind)


def _trials(path: Path, about: _About) -> Sequence[Trial]:
    if not path.is_file():
        raise InputError("is missing; a journal is a folder with trials.jsonl and sweep.json", file=path)
    trials = list(read_trials(path))
    for line, trial in enumerate(trials, start=1):
        _check_trial(trial, about, path, line)
    if not any(trial.time_us for trial in trials):
        raise InputError("holds no trial with a time", file=path)
    return trials


def _check_trial(trial: Trial, about: _About, path: Path, line: int) -> None:
    names, axes = {each.name for each in about.parameters}, {each.name for each in about.axes}
    if set(trial.config) != names or set(trial.problem) - {"device"} != axes:
        what = f"wrong schema: the kernel has the axes {sorted(axes)} and the parameters {sorted(names)}"
        raise InputError(what, file=path, line=line)
    if not all(
        isinstance(value, int | float | str) for value in (*trial.problem.values(), *trial.config.values())
    ):
        raise InputError("wrong schema: values must be numbers and strings", file=path, line=line)
    if trial.trial != trial_id(
        about.source_hash, Candidate(trial.problem, trial.config), about.device_slug, about.routing
    ):
        what = "is not the hash of its problem, config, device and of the kernel source in sweep.json"
        raise InputError(what, file=path, line=line, key="trial")
    if trial.status is Status.OK:
        time = trial.time_us
        if not isinstance(time, int | float) or isinstance(time, bool):
            raise InputError("an ok trial needs a time", file=path, line=line, key="time_us")
        recording.positive_time(time, path, f"line {line}: time_us")


def _landscape(path: Path, about: _About, trials: Sequence[Trial]) -> Landscape:
    table = ConfigTable.of([each.name for each in about.parameters], [trial.config for trial in trials])
    failed = ((row, trial) for row, trial in enumerate(trials) if trial.status is not Status.OK)
    times = [trial.time_us if trial.status is Status.OK else None for trial in trials]
    problem = {name: value for name, value in trials[0].problem.items() if name != "device"}
    content = [(dict(trial.config), time) for trial, time in zip(trials, times, strict=True)]
    return Landscape(
        path=path,
        digest=digest([about.source_hash, about.device_slug, problem, content]),
        kernel=about.kernel,
        device_name=about.device_name,
        problem=problem,
        axes=about.axes,
        parameters=about.parameters,
        table=table,
        times_us=np.array([np.nan if time is None else time for time in times], dtype=np.float64),
        failures={row: RecordedFailure(trial.status, trial.reason or "") for row, trial in failed},
        resources={row: trial.resources for row, trial in enumerate(trials) if trial.resources},
    )
