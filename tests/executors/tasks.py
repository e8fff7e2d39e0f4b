"""What the pool's tests run in workers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Longer than any test waits.
HANGS_S = 3600


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def add(one, two):
    return one + two


def pid():
    return os.getpid()


def fail(message):
    raise ValueError(message)


def fail_unpicklably():
    raise UnpicklableError("one", "two")


def fail_with_a_timeout():
    raise TimeoutError("the server said so")


def leave():
    sys.exit(3)


def give_a_generator():
    return (each for each in ())


def abort():
    os.abort()


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def end_with(code):
    os._exit(code)


def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(HANGS_S)


def variable_seen_by_triton():
    import triton.knobs

    return bool(triton.knobs.runtime.interpret)


def variable(name):
    return os.environ.get(name)


def modules():
    return {name.split(".")[0] for name in sys.modules}


def start_a_sleeper(path):
    """As a compiler that a worker starts."""
    sleeper = subprocess.Popen(["sleep", str(HANGS_S)])
    path.with_suffix(".tmp").write_text(f"{os.getpid()} {sleeper.pid}")
    path.with_suffix(".tmp").rename(path)
    time.sleep(HANGS_S)


SPOILED = []


def spoil_quietly():
    """As a kernel that writes where it must not, and comes to its end."""
    SPOILED.append(True)


def add_unless_spoiled(one, two):
    if SPOILED:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return one + two


def sleep_the_first_time(path):
    if path.exists():
        return "done"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").rename(path)
    time.sleep(HANGS_S)
    return "slept"


def take_memory(size):
    held = []
    while sum(map(len, held)) < size:
        held.append(b"x" * 2**26)
        time.sleep(0.02)
    time.sleep(HANGS_S)


def have_a_child_take_memory(size):
    code = f"from tests.executors.tasks import take_memory; take_memory({size})"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )


def ask_for_too_much_memory():
    raise MemoryError


def find_the_disk_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/kernel.cubin")


def find_the_disk_full_within():
    try:
        find_the_disk_full()
    except OSError as error:
        raise RuntimeError("could not compile") from error


def node_after(seconds):
    """The process that stands for a node: a Ray worker's parent, and that one is this process's parent."""
    time.sleep(seconds)
    return Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]


def note_and_sleep(folder, number, seconds):
    (folder / f"{number}.{os.getpid()}").touch()
    time.sleep(seconds)
    return number


def kill_its_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(HANGS_S)
