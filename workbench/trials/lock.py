"""The lock of a run: one process at a time, and everybody else can read which."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True, slots=True)
class Holder:
    """Who runs a sweep.

    Attributes:
        since: when it began, ISO 8601, UTC.
    """

    pid: int
    host: str
    since: str
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.since}: {self.command}"

    @classmethod
    def me(cls) -> Holder:
        """This process."""
        return cls(os.getpid(), socket.gethostname(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", _command())


class HeldError(Exception):
    """Another process holds the lock; says which, where that is known."""


class RunLock:
    """A lock that its process loses when it dies, with a note of who holds it beside it.

    Args:
        path: of the lock; the note is `<path>.holder`.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)
        self._note = path.with_name(f"{path.name}.holder")

    def acquire(self) -> Holder | None:
        """Takes the lock at once.

        Returns:
            The process that died holding it, None where it was free.

        Raises:
            HeldError: a living process holds it.
            OSError: it cannot be written.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            holder = self._holder()
            raise HeldError(f" ({holder})" if holder else "") from None
        dead = self._holder()
        self._note.write_text(json.dumps(asdict(Holder.me())) + "\n", encoding="utf-8")
        return dead

    def release(self) -> None:
        """Gives the lock back; does nothing where it is not held here."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._note.unlink(missing_ok=True)
            self._lock.release()

    def _holder(self) -> Holder | None:
        """What the note says; it is only for people, so one that cannot be read is none."""
        try:
            fields = json.loads(self._note.read_text(encoding="utf-8"))
            return Holder(
                int(fields["pid"]), *(_plain(fields[name]) for name in ("host", "since", "command"))
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _command() -> str:
    return _plain(shlex.join(["workbench", *sys.argv[1:]]))


def _plain(text: str) -> str:
    """One printable line: a terminal takes no orders from a file."""
    return "".join(each if each.isprintable() else " " for each in text)[:300]
