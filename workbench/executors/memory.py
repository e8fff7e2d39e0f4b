"""How much memory workers hold, and which of them holds too much.

A limit on address space (`RLIMIT_AS`) would be the usual means, but CUDA maps far more of it than it ever uses.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from workbench.base.errors import InputError

LIMIT_VARIABLE = "WORKBENCH_WORKER_MEMORY_GIB"
# A worker that holds this share of the machine's memory is killed, and the largest one is where so little is left.
WORKER_SHARE, RESERVE_SHARE = 0.5, 0.03
GIB = 2**30
_HELD = ("RssAnon:", "RssShmem:")
# Of a container, by version of cgroups: its limit, and what in its statistics is held and cannot be dropped.
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), ("anon", "shmem")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), ("total_rss", "total_shmem")),
)


def too_large(pids: Iterable[int], workers: int) -> tuple[int, str] | None:
    """The worker that must go, and why; None while there is memory enough.

    The machine's memory is read anew each time: that of a virtual machine may grow while it is used.

    Args:
        pids: of the workers; what they started is counted in.
        workers: how many share the machine: one that holds less than its even share is never the culprit.
    """
    held = {pid: _bytes_of_tree(pid) for pid in pids}
    if not held:
        return None
    largest = max(held, key=lambda pid: held[pid])
    gib, total, limit = held[largest] / GIB, total_bytes(), worker_limit()
    if held[largest] > limit:
        allowed = f"a worker may hold {limit / GIB:.1f} GiB; {LIMIT_VARIABLE} sets that"
        return largest, f"killed holding {gib:.1f} GiB of memory ({allowed})"
    if held[largest] > total / (workers + 1) and _available_bytes() < RESERVE_SHARE * total:
        return largest, f"killed holding {gib:.1f} GiB of memory when none was left"
    return None


def worker_limit() -> float:
    """Bytes that one worker may hold.

    Raises:
        InputError: the variable that sets it is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return WORKER_SHARE * total_bytes()
    try:
        limit = float(text) * GIB
    except ValueError:
        limit = 0.0
    if not limit > 0.0:
        raise InputError(f"must be a positive number of GiB, not {text!r}", key=LIMIT_VARIABLE)
    return limit


def total_bytes() -> int:
    """Memory of this machine, or of the container that this process is in."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for path, _ in _CGROUPS if (limit := _number(path)))])


def _available_bytes() -> float:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    machine = 1024 * int(fields["MemAvailable"].split()[0])
    return min([machine, *(_left_in_container(path, held) for path, held in _CGROUPS)])


def _left_in_container(limit_file: Path, held: Sequence[str]) -> float:
    limit = _number(limit_file)
    with suppress(OSError, ValueError):
        lines = limit_file.with_name("memory.stat").read_text().splitlines()
        fields = dict(line.split() for line in lines)
        return math.inf if limit is None else limit - sum(int(fields.get(name, 0)) for name in held)
    return math.inf


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no cgroups of that version, or "max"
        return None


def _bytes_of_tree(pid: int) -> int:
    return _resident_bytes(pid) + sum(map(_bytes_of_tree, _children(pid)))


def _resident_bytes(pid: int) -> int:
    """What is held and cannot be dropped; the pages of CUDA's libraries, gigabytes of them, can be read again."""
    with suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(_HELD))
    return 0


def _children(pid: int) -> list[int]:
    with suppress(OSError, ValueError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
