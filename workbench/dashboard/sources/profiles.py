"""Profiles of decode steps, as `profile` leaves them: `summary.json` beside a trace of each arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.base.errors import InputError
from workbench.dashboard.sources.damage import Damages
from workbench.timeline.spread import Spread
from workbench.timeline.summary import PerStep

SCHEMA = "workbench.profile/1"
# A profile with its traces is megabytes; a folder far larger than this holds something else.
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCount:
    """How many layers a step has, None where that is unknown."""

    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """What a trace's summary says of a step.

    Attributes:
        per_step: shares by class.
        layers: of a step.
        reliable: whether the figures can be taken as they are.
        reasons: why not.
    """

    per_step: PerStep
    layers: LayerCount
    reliable: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledArm:
    """One arm of a profile.

    Attributes:
        description: what ran.
        trace: the name of its trace, beside the summary.
        step_us: a step without a profiler; None where a gate failed.
        summary: of its trace.
    """

    description: str
    trace: str
    step_us: Spread | None
    summary: ArmSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """An arm's steps per second against the first arm's."""

    arm: str
    reference: str
    throughput_gain: float
    beyond_spread: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFile:
    """What the page shows of a `summary.json`."""

    schema: str
    model: str
    depth: str
    batch: int
    context: int
    rounds: int
    graph: bool
    device: str
    basis: str
    device_names: tuple[str, ...]
    passed: bool
    failures: tuple[str, ...]
    notes: tuple[str, ...]
    arms: dict[str, ProfiledArm]
    speedups: tuple[Gain, ...] | None


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """A profile and where it is.

    Attributes:
        folder: of the summary and the traces.
        file: what the summary says.
        written: when, seconds since 1970.
    """

    folder: Path
    file: ProfileFile
    written: float

    def traces(self) -> Mapping[str, Path]:
        """The traces that are there, by arm; a name with a folder in it is no trace of a profile."""
        named = {
            arm: self.folder / each.trace
            for arm, each in self.file.arms.items()
            if Path(each.trace).name == each.trace
        }
        return {arm: path for arm, path in named.items() if path.is_file()}


def read_profiles(folders: Sequence[Path], damages: Damages) -> Iterator[SavedProfile]:
    """The profiles in and below some folders, the latest first."""
    paths = dict.fromkeys(path for folder in folders for path in _summaries(folder))
    found = [each for path in paths if (each := _read_profile(path, damages))]
    yield from sorted(found, key=lambda each: (-each.written, str(each.folder)))


def _summaries(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("summary.json")):
        if "runs" not in path.relative_to(folder).parts and path.is_file():
            yield path


def _read_profile(path: Path, damages: Damages) -> SavedProfile | None:
    import msgspec

    try:
        about = path.stat()
        if about.st_size > MOST_BYTES:
            raise InputError(f"is larger than {MOST_BYTES >> 20} MiB, the most that is read", file=path)
        file = msgspec.json.decode(path.read_bytes(), type=ProfileFile)
    except InputError as error:
        damages(error)
    except OSError as error:
        damages(InputError(f"cannot be read: {error.strerror}", file=path))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        damages(_no_profile(path, str(error)))
    else:
        if file.schema == SCHEMA and file.arms:
            return SavedProfile(path.parent, file, about.st_mtime)
        what = f"must be {SCHEMA}, got {file.schema[:40]!r}" if file.arms else "holds no arm"
        damages(InputError(what, file=path, key="schema" if file.arms else "arms"))
    return None


def _no_profile(path: Path, said: str) -> InputError:
    what, _, where = said.partition(" - at `")
    key = where.rstrip("`").removeprefix("$").lstrip(".") or None
    return InputError(f"is no summary of a profile ({SCHEMA}): {what}", file=path, key=key)
