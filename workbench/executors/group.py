"""The worker processes of one pool: a group that dies with its owner, and in which nobody takes all the memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

from workbench.executors.memory import too_large

# A process fills a few GiB a second.
LOOK_EVERY_S = 0.1


class WorkerGroup:
    """Leads worker processes and watches them.

    Args:
        pids: the workers' processes.
        workers: how many there may be.
    """

    def __init__(self, pids: Callable[[], Iterable[int]], workers: int) -> None:
        self._pids, self._workers = pids, workers
        self._lock = Lock()
        self._guardian: subprocess.Popen[bytes] | None = None
        self._watcher: Thread | None = None
        self._ended = Event()
        self._killed: dict[int, str] = {}

    def leader(self) -> int:
        """The group's id; starts its guardian and the watch, and a new guardian where somebody killed it."""
        with self._lock:
            if self._guardian is not None and self._guardian.poll() is not None:
                _let_go(self._guardian)
                self._guardian = None
            self._guardian = self._guardian or _start_guardian()
            if self._watcher is None:
                self._watcher = Thread(target=self._watch, daemon=True)
                self._watcher.start()
            return self._guardian.pid

    def why_killed(self, pid: int | None) -> str | None:
        """Why a process was killed here, None where it was not."""
        return self._killed.get(pid) if pid is not None else None

    def end(self) -> None:
        """Ends whatever is left of the group."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._guardian is not None:
            _let_go(self._guardian)
        self._guardian = self._watcher = None
        self._ended.clear()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            if found := too_large(self._pids(), self._workers):
                pid, self._killed[found[0]] = found
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._replace_guardian()

    def _replace_guardian(self) -> None:
        """Where somebody killed the guardian, its workers go too: they would outlive their owner."""
        guardian = self._guardian
        if guardian is not None and guardian.poll() is not None:
            with suppress(ProcessLookupError):
                os.killpg(guardian.pid, signal.SIGKILL)


def _let_go(guardian: subprocess.Popen[bytes]) -> None:
    assert guardian.stdin is not None
    guardian.stdin.close()
    guardian.wait()


def _start_guardian() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))],
        stdin=subprocess.PIPE,
        process_group=0,
    )
