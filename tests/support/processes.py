"""Looks at processes from outside."""

from __future__ import annotations

import time
from pathlib import Path


def is_alive(pid: int) -> bool:
    """False for a zombie too: nobody may be there to reap an orphan in a container."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids, seconds: float = 10.0) -> set[int]:
    """The processes that are still alive after so long."""
    deadline = time.monotonic() + seconds
    left = {pid for pid in pids if is_alive(pid)}
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {pid for pid in left if is_alive(pid)}
    return left


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
