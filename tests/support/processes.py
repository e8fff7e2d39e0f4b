"""Starts processes as a terminal does, and looks at them from outside."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from tests.support.patience import PATIENCE_S


def start_in_terminal(command, *, first=None, **more):
    """A process in a session of its own that Ctrl-C ends, also where a shell started the tests in the background.

    Args:
        command: what to start.
        first: called in the process before the command is.
        more: for `subprocess.Popen`.
    """

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if first is not None:
            first()

    return subprocess.Popen(command, start_new_session=True, text=True, preexec_fn=prepare, **more)


def is_alive(pid: int) -> bool:
    """False for a zombie too: nobody may be there to reap an orphan in a container."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids, seconds: float = PATIENCE_S) -> set[int]:
    """The processes that are still alive after so long."""
    deadline = time.monotonic() + seconds
    left = {pid for pid in pids if is_alive(pid)}
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {pid for pid in left if is_alive(pid)}
    return left


def serves_all(pid: int) -> bool:
    """Whether it is one of those that multiprocessing starts once and keeps; so is one that has ended."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"resource_tracker" in command or b"multiprocessing.forkserver" in command


def processes_with(marker: str) -> set[int]:
    """The living processes whose environment holds a text, whoever their parent is now."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in environment and is_alive(int(folder.name)):
                found.add(int(folder.name))
    return found
