"""The runs of sweeps: `runs/<run id>/`, as far as their journals can be read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.dashboard.sources.damage import Damages
from workbench.trials.journal import read_about, read_finals, read_trials
from workbench.trials.recorded_run import RecordedRun, run_of, section, slug_and_kernel
from workbench.trials.trial import Final, Trial

if TYPE_CHECKING:
    from moe_kernels.tunable import Config

MOST_DAMAGED_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        id: the run's id; `<id>.before-<time>` where a later `--fresh` put it aside.
        ladder: the axis along which a results file has its rows.
        shorts: what results files call the axes.
        started: ISO 8601, empty where that is not known.
        default: the kernel's default config, empty where that is not known.
    """

    id: str
    folder: Path
    slug: str
    kernel: str
    ladder: str
    shorts: Mapping[str, str]
    started: str
    default: Config
    recorded: RecordedRun
    finals: tuple[Final, ...]

    @property
    def put_aside(self) -> bool:
        """True where the same sweep was started over later."""
        return ".before-" in self.id

    def problem_label(self, problem: Mapping[str, Any]) -> str:
        """A problem as results files call it, its rung last: `E=128 K=8 dtype=bf16 tokens=8`."""
        axes = {self.shorts.get(name, name): value for name, value in problem.items() if name != self.ladder}
        return " ".join(
            f"{name}={value}" for name, value in {**axes, self.ladder: problem.get(self.ladder)}.items()
        )


def read_runs(results: Path, damages: Damages) -> Iterator[SweepRun]:
    """The runs below a results folder, the latest first; one without a trial yet is left out."""
    found = [each for folder in _folders(results) if (each := _read_run(folder, damages))]
    yield from sorted(found, key=lambda run: (run.started, not run.put_aside, run.id), reverse=True)


def _folders(results: Path) -> list[Path]:
    return sorted(
        path for path in (results / "runs").glob("*") if path.is_dir() and not path.name.startswith(".")
    )


def _read_run(folder: Path, damages: Damages) -> SweepRun | None:
    try:
        trials = _trials(folder / "trials.jsonl", damages)
        if not trials and not (folder / "sweep.json").exists():
            return None
        about = read_about(folder / "sweep.json")
        finals = tuple(_valid_finals(folder / "finals.jsonl", damages))
    except InputError as error:
        damages(error)
        return None
    except OSError as error:
        damages(InputError(f"cannot be read: {error.strerror}", file=folder))
        return None
    return _run(folder, about, trials, finals) if trials else None


def _run(
    folder: Path, about: Mapping[str, Any], trials: Sequence[Trial], finals: tuple[Final, ...]
) -> SweepRun:
    slug, kernel_name = slug_and_kernel(about)
    kernel = section(about, "kernel")
    default = {name: value for name, value in section(about, "default").items() if _is_scalar(value)}
    known = {**about, "default": default or _guessed_default(trials)}
    recorded = run_of(folder, known, trials)
    return SweepRun(
        id=folder.name,
        folder=folder,
        slug=slug,
        kernel=kernel_name,
        ladder=next(
            (str(axis.get("name")) for axis in _axes(kernel) if axis.get("ladder") is True), "tokens"
        ),
        shorts={str(axis.get("name")): str(axis.get("short")) for axis in _axes(kernel) if axis.get("short")},
        started=_started(folder / "environment.json"),
        default=default,
        recorded=recorded,
        finals=finals,
    )


def _guessed_default(trials: Sequence[Trial]) -> Mapping[str, Any]:
    """The config that is its own baseline; anything but nothing, so that no kernel is imported to ask it."""
    own = next((trial for trial in trials if trial.ratio == 1.0 and trial.ratio_ci == (1.0, 1.0)), None)
    return dict(own.config) if own else {"": ""}


def _axes(kernel: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    axes = kernel.get("axes")
    return [axis for axis in axes if isinstance(axis, dict)] if isinstance(axes, list) else []


def _started(path: Path) -> str:
    try:
        return str(read_about(path)["started"])
    except (InputError, KeyError):
        return ""


def _trials(path: Path, damages: Damages) -> tuple[Trial, ...]:
    """The trials that can be read and fit each other."""
    lines = _FewDamages(damages, path)
    trials: list[Trial] = []
    for trial in read_trials(path, lines.note):
        if wrong := why_damaged(trial, trials[0].config if trials else None):
            lines.note(InputError(f"damaged journal: {wrong}", file=path))
        else:
            trials.append(trial)
    lines.close()
    return tuple(trials)


def _valid_finals(path: Path, damages: Damages) -> Iterator[Final]:
    lines = _FewDamages(damages, path)
    for final in read_finals(path, lines.note):
        wrong = next(filter(None, (why_damaged(trial, None) for trial in final.trials)), None)
        if wrong or not math.isfinite(final.noise_floor):
            lines.note(
                InputError(f"damaged journal: {wrong or 'a noise floor that is no number'}", file=path)
            )
        else:
            yield final
    lines.close()


class _FewDamages:
    """Notes the first damaged lines of a file one by one, and the others by their number."""

    def __init__(self, damages: Damages, path: Path) -> None:
        self._damages, self._path, self._count = damages, path, 0

    def note(self, error: InputError) -> None:
        self._count += 1
        if self._count <= MOST_DAMAGED_LINES:
            self._damages(error)

    def close(self) -> None:
        if (more := self._count - MOST_DAMAGED_LINES) > 0:
            self._damages(InputError(f"damaged journal: {more} more such lines", file=self._path))


def why_damaged(trial: Trial, config: Config | None) -> str | None:
    """What of a trial no sweep would write, None where all is well: its line is JSON of the right keys only.

    Args:
        trial: as it was read.
        config: another one's of the same journal, which must have the same parameters.
    """
    checks: Iterable[tuple[str, bool]] = (
        ("trial", isinstance(trial.trial, str)),
        ("problem", _are_scalars(trial.problem)),
        ("config", _are_scalars(trial.config) and (config is None or trial.config.keys() == config.keys())),
        ("reason", trial.reason is None or isinstance(trial.reason, str)),
        ("time_us", trial.time_us is None or _is_time(trial.time_us)),
        ("ci_us", _is_interval(trial.ci_us)),
        ("ratio", trial.ratio is None or _is_time(trial.ratio)),
        ("ratio_ci", _is_interval(trial.ratio_ci)),
        (
            "resources",
            all(_are_counts(each.registers, each.num_warps, each.shared_bytes) for each in trial.resources),
        ),
    )
    wrong = next((name for name, is_right in checks if not is_right), None)
    return None if wrong is None else f"{wrong} is {brief(repr(getattr(trial, wrong)), 60)}"


def _are_scalars(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_scalar, value.values()))


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _is_interval(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) == 2 and all(map(_is_time, value)))


def _are_counts(*values: object) -> bool:
    return all(isinstance(value, int) for value in values)
