"""Profiles of decode steps, as `profile` leaves them: `summary.json` beside a trace of each arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.base.errors import InputError
from workbench.base.files import unreadable
from workbench.dashboard.sources.damage import Damages
from workbench.timeline.record import ProfileRecord, read_profile

# A profile with its traces is megabytes; a folder far larger than this holds something else.
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """A profile and where it is.

    Attributes:
        folder: of the summary and the traces.
        file: what the summary says.
        written: when, seconds since 1970.
    """

    folder: Path
    file: ProfileRecord
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
    try:
        file = read_profile(path, MOST_BYTES)
        if not file.arms:
            raise InputError("holds no arm", file=path, key="arms")
        return SavedProfile(path.parent, file, path.stat().st_mtime)
    except InputError as error:
        damages(error)
    except OSError as error:
        damages(unreadable(path, error))
    return None
