"""The journal of a run: every trial as one line, written once when its result is known, so that a kill loses nothing.

A folder `runs/<run id>/` holds the sweep as resolved, the environment, `trials.jsonl`, `samples.jsonl` (raw rounds)
and `finals.jsonl` (re-timings of finalists). One process at a time writes to it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar

from workbench.base.errors import InputError
from workbench.base.files import read_text, write_whole
from workbench.trials.lock import HeldError, Holder, RunLock
from workbench.trials.trial import Evidence, Final, Resources, Stage, Status, Trial

T = TypeVar("T")
MAX_ABOUT_BYTES = 1 << 26
Damaged = Callable[[InputError], None]

_SAMPLE = frozenset({"name", "round", "position", "time_us", "sm_mhz", "flags", "used"})


class Journal:
    """An open journal; a context manager that holds the run's lock.

    Args:
        folder: `runs/<run id>`; made where it does not exist.
        sweep: the sweep as resolved.
        environment: versions and the like.
        fresh: puts an earlier journal of this run aside instead of continuing it.

    Attributes:
        trials: what earlier processes of this run recorded, by trial id, and what this one adds.
        finals: the same of re-timed finalists, by their name.
        started: when this run was first started, ISO 8601, UTC.
        taken_over_from: the process that died running this sweep before, None where none did.

    Raises:
        InputError: the folder cannot be written, another process holds it, or a line in it is damaged.
    """

    def __init__(
        self, folder: Path, *, sweep: Mapping[str, Any], environment: Mapping[str, Any], fresh: bool = False
    ) -> None:
        self.folder = folder
        self.trials: dict[str, Trial] = {}
        self.finals: dict[str, Final] = {}
        self.started = ""
        self.taken_over_from: Holder | None = None
        self._about = {"sweep.json": sweep, "environment.json": environment}
        self._fresh = fresh
        # Every GPU that is timed has a thread here.
        self._sampling = Lock()
        self._lock = RunLock(folder.with_name(f".{folder.name}.lock"))

    def __enter__(self) -> Self:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.taken_over_from = self._lock.acquire()
            self._open()
        except HeldError as error:
            told = f"another process is running this sweep{error}; wait for it or stop it"
            raise InputError(told, file=self.folder) from None
        except OSError as error:
            self._lock.release()
            raise InputError(f"cannot be written: {error.strerror}", file=self.folder) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def record(self, trials: Sequence[Trial]) -> None:
        """Appends trials that came about together, all or none of them, whenever this process dies."""
        self.trials |= {trial.trial: trial for trial in trials}
        _append(self.folder / "trials.jsonl", [json.dumps(dataclasses.asdict(trial)) for trial in trials])

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What was made when the run first came here, as JSON can hold it: later processes of the run get the same."""
        path = self.folder / name
        if not path.exists():
            write_whole(path, json.dumps(make(), indent=1) + "\n")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            hint = "start over with --fresh, which puts it aside"
            raise InputError(f"damaged journal ({error}); {hint}", file=path) from error

    def record_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Appends raw rounds."""
        with self._sampling:
            _append(self.folder / "samples.jsonl", map(json.dumps, rows))

    def record_final(self, final: Final) -> None:
        """Appends the re-timing of a problem's finalists."""
        self.finals[final.name] = final
        _append(self.folder / "finals.jsonl", [json.dumps(dataclasses.asdict(final))])

    def _open(self) -> None:
        if self._fresh and self.folder.exists():
            self.folder.rename(
                self.folder.with_name(f"{self.folder.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
            )
        self.folder.mkdir(exist_ok=True)
        for left_over in self.folder.glob(".*.tmp"):
            # Of a process that was killed while it wrote; this one holds the lock.
            left_over.unlink()
        self.started = first_started(self.folder) or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._about["environment.json"] = {"started": self.started, **self._about["environment.json"]}
        for name, about in self._about.items():
            write_whole(self.folder / name, json.dumps(about, indent=1) + "\n")
        for name in ("trials.jsonl", "samples.jsonl", "finals.jsonl"):
            _drop_half_line(self.folder / name)
        self.trials = {trial.trial: trial for trial in read_trials(self.folder / "trials.jsonl")}
        self.finals = {final.name: final for final in read_finals(self.folder / "finals.jsonl")}


def first_started(folder: Path) -> str | None:
    """When a run was first started, ISO 8601, UTC; None where its folder does not say. Continuing it keeps this."""
    try:
        return str(read_about(folder / "environment.json")["started"])
    except (InputError, KeyError):
        return None


def read_about(path: Path) -> Mapping[str, Any]:
    """Reads what a run's folder says of the run: its `sweep.json` or `environment.json`.

    Raises:
        InputError: it cannot be read, or is no JSON object.
    """
    try:
        about = json.loads(read_text(path, MAX_ABOUT_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(f"damaged: {error}", file=path) from error
    if not isinstance(about, dict):
        raise InputError("damaged: must be a mapping", file=path)
    return about


def read_trials(path: Path, damaged: Damaged | None = None) -> Iterable[Trial]:
    """Reads `trials.jsonl`; a half-written last line is left out.

    Args:
        path: of the file.
        damaged: told of a line that is no trial, which is then left out; without it such a line is an error.

    Raises:
        InputError: names the line that is no trial.
    """
    return _read(path, _parse_trial, damaged)


def read_finals(path: Path, damaged: Damaged | None = None) -> Iterable[Final]:
    """Reads `finals.jsonl`, as `read_trials` does."""
    return _read(path, _parse_final, damaged)


def read_samples(path: Path) -> Iterable[Mapping[str, Any]]:
    """Reads `samples.jsonl`: the fields of `workbench.measure.rounds.Sample` and the distribution of the inputs.

    Raises:
        InputError: names the line that is no sample.
    """
    return _read(path, _parse_sample)


def _read(path: Path, parse: Callable[[Any], T], damaged: Damaged | None = None) -> Iterator[T]:
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield parse(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as cause:
            damage = f"damaged journal ({type(cause).__name__}: {cause})"
            hint = "start over with --fresh, which puts it aside"
            error = InputError(f"{damage}; {hint}", file=path, line=number)
            if damaged is None:
                raise error from cause
            damaged(error)


def _append(path: Path, lines: Iterable[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    try:
        # Unbuffered, so that all lines go in one write and a kill leaves all of them or none.
        with path.open("ab", buffering=0) as file:
            _write_all(file, content)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from error


def _write_all(file: FileIO, content: bytes) -> None:
    """Writes all of it or, where the disk fills up on the way, nothing."""
    size = os.fstat(file.fileno()).st_size
    try:
        while content:
            content = content[file.write(content) :]
    except OSError:
        file.truncate(size)
        raise


def _drop_half_line(path: Path) -> None:
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _parse_trial(fields: dict[str, Any]) -> Trial:
    fields["stage"], fields["status"] = Stage(fields["stage"]), Status(fields["status"])
    fields["evidence"] = Evidence(fields["evidence"])
    fields["resources"] = tuple(Resources(**launch) for launch in fields["resources"])
    for interval in ("ratio_ci", "ci_us"):
        fields[interval] = tuple(fields[interval]) if fields[interval] else None
    return Trial(**fields)


def _parse_sample(fields: dict[str, Any]) -> Mapping[str, Any]:
    if missing := _SAMPLE - fields.keys():
        raise KeyError(*sorted(missing))
    return fields


def _parse_final(fields: dict[str, Any]) -> Final:
    return Final(tuple(map(_parse_trial, fields["trials"])), float(fields["noise_floor"]))
