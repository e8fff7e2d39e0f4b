"""A sweep's run as its journal recorded it: what all plots of a sweep are collected from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_kernels.device_slug import device_slug
from moe_kernels.tunable import Config, Problem
from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.trials.journal import read_about, read_trials
from workbench.trials.trial import Evidence, Status, Trial


@dataclass(frozen=True, slots=True)
class ProblemTrials:
    """The trials of one problem.

    Attributes:
        label: the axes that vary in the run: `tokens=8 dtype=bf16`.
        trials: in the order in which their results were known.
        default: the default's trial, None where it is not known or was not tried.
    """

    problem: Problem
    label: str
    trials: tuple[Trial, ...]
    default: Trial | None

    @property
    def valid(self) -> tuple[Trial, ...]:
        """The trials that have a time."""
        return tuple(
            trial for trial in self.trials if trial.status is Status.OK and trial.time_us is not None
        )

    @property
    def default_time_us(self) -> float | None:
        """The default's time, None where there is none."""
        return None if self.default is None else self.default.time_us


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run of a sweep.

    Attributes:
        problems: in the order of the sweep.
    """

    name: str
    kernel: str
    device: str
    evidence: str
    problems: tuple[ProblemTrials, ...]

    @property
    def subtitle(self) -> str:
        """Of what a plot is."""
        told = "; nothing was timed" if self.evidence == Evidence.MODELLED else ""
        return f"{self.kernel} on {self.device}, run {self.name}; times are {self.evidence}{told}"

    @property
    def about(self) -> str:
        """What stands before a time or a speed-up that was not measured: `~`."""
        return "" if self.evidence == Evidence.MEASURED else "~"


def find_run(name: str, results: Path) -> Path:
    """The folder of a run: a path, or its id (or how it begins) below `results/runs`.

    Raises:
        InputError: there is no such run, or several begin so.
    """
    path = Path(name)
    folder = path.parent if path.name == "trials.jsonl" else path
    if (folder / "trials.jsonl").is_file():
        return folder
    known = sorted(each.parent.name for each in (results / "runs").glob("*/trials.jsonl"))
    found = [each for each in known if each == name] or [
        each for each in known if each.startswith(name) and ".before-" not in each
    ]
    if len(found) == 1:
        return results / "runs" / found[0]
    listed = ", ".join(found or known) or "none"
    what = "several runs begin so" if found else "no such run, and no folder with a trials.jsonl"
    raise InputError(f"{what}; runs in {results / 'runs'}: {listed}", file=brief(name, 120))


def read_run(folder: Path) -> RecordedRun:
    """Reads a run's journal.

    Raises:
        InputError: it is damaged or holds no trial; names file and line.
    """
    about = read_about(folder / "sweep.json")
    trials = tuple(read_trials(folder / "trials.jsonl"))
    if not trials:
        raise InputError("holds no trial yet", file=folder / "trials.jsonl")
    return run_of(folder, about, trials)


def run_of(folder: Path, about: Mapping[str, Any], trials: Sequence[Trial]) -> RecordedRun:
    """A run of what its folder holds.

    Args:
        folder: of the run.
        about: what `sweep.json` says.
        trials: at least one.
    """
    sweep, device = section(about, "sweep"), section(about, "device")
    kernel = str(sweep.get("kernel", "unknown kernel"))
    defaults = _Defaults(section(about, "default") or section(sweep, "default"), kernel)
    return RecordedRun(
        name=folder.resolve().name,
        kernel=brief(kernel, 80),
        device=brief(str(device.get("device_name") or sweep.get("device") or "unknown device"), 80),
        evidence=" and ".join(sorted({str(trial.evidence) for trial in trials if trial.time_us is not None}))
        or "none",
        problems=tuple(_problems(trials, defaults)),
    )


def slug_and_kernel(about: Mapping[str, Any]) -> tuple[str, str]:
    """The slug of the device that a run is of, and the name of its kernel, from what `sweep.json` says."""
    device, kernel, sweep = (section(about, key) for key in ("device", "kernel", "sweep"))
    slug = device.get("slug") or device_slug(
        str(device.get("device_name") or sweep.get("device") or "unknown")
    )
    return str(slug), str(kernel.get("name") or sweep.get("kernel") or "unknown")


def section(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What a run says under a key, where that is a mapping; else nothing."""
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def own_baseline(trials: Iterable[Trial]) -> Trial | None:
    """The default's trial: times are paired with the default's of their round, so only its own ratio is exactly 1."""
    return next((trial for trial in trials if trial.ratio == 1.0 and trial.ratio_ci == (1.0, 1.0)), None)


class _Defaults:
    """Finds the default's trial: by the run's own record, by its ratio of 1 to itself, or by the shipped kernel."""

    def __init__(self, recorded: Mapping[str, Any], kernel: str) -> None:
        self._recorded, self._kernel = recorded, kernel
        self._shipped: Config | None = None

    def find(self, trials: Sequence[Trial]) -> Trial | None:
        if self._recorded:
            return _first(trials, {**trials[0].config, **self._recorded})
        return own_baseline(trials) or _first(trials, self._of_shipped())

    def _of_shipped(self) -> Config:
        if self._shipped is None:
            from moe_kernels.registry import TUNABLES

            kernel = TUNABLES.get(self._kernel)
            self._shipped = {} if kernel is None else kernel.default_config
        return self._shipped


def _first(trials: Iterable[Trial], config: Config) -> Trial | None:
    return next((trial for trial in trials if dict(trial.config) == dict(config)), None)


def _problems(trials: Sequence[Trial], defaults: _Defaults) -> Iterable[ProblemTrials]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(json.dumps(dict(trial.problem), sort_keys=True), []).append(trial)
    problems = [group[0].problem for group in groups.values()]
    varying = [axis for axis in problems[0] if len({problem.get(axis) for problem in problems}) > 1]
    for group in groups.values():
        problem = group[0].problem
        label = " ".join(f"{axis}={problem.get(axis)}" for axis in varying)
        yield ProblemTrials(problem, brief(label, 60) or "all trials", tuple(group), defaults.find(group))


def select_problems(run: RecordedRun, text: str | None) -> tuple[ProblemTrials, ...]:
    """The problems of a run that `axis=value,...` picks; all where it is None.

    Raises:
        InputError: it is no such list, or picks nothing; says what there is.
    """
    if text is None:
        return run.problems
    wanted = [item.partition("=") for item in text.split(",") if item.strip()]
    chosen = tuple(
        each
        for each in run.problems
        if all(str(each.problem.get(name.strip())) == value.strip() for name, _, value in wanted)
    )
    if not wanted or not chosen:
        labels = ", ".join(each.label.replace(" ", ",") for each in run.problems)
        raise InputError(
            f"{brief(text, 60)!r} picks no problem of this run; there are: {labels}", key="--problem"
        )
    return chosen
