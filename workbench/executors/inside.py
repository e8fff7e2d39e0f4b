"""What runs inside a worker process, before a task and around it."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbench.executors.executor import WorkFailure

# A failure's reason is one line; of a longer one, Triton's source excerpt say, the middle is left out.
_REASON_HEAD, _REASON_TAIL = 120, 240
# What a full or read-only disk says: no fault of the task, and the same for all others.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_OUT_OF_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory")


class DiskError(Exception):
    """A task could not write what it had to."""


def start(group: int, environment: Mapping[str, str]) -> None:
    """Makes the process a member of its pool's group and sets its environment."""
    os.setpgid(0, group)
    # The pool's handler would make somebody's SIGTERM look like an orderly end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if environment and "triton" in sys.modules:
        # Spawned workers import the program's main module first; Triton reads its environment when imported.
        raise RuntimeError("the main module imports triton; import it under `if __name__ == '__main__':`")
    os.environ.update(environment)


def attempt(function: Callable[..., Any], *arguments: Any) -> Any | WorkFailure | DiskError:
    """Runs a task. Exceptions become text here: one that does not unpickle would break the whole pool."""
    try:
        return function(*arguments)
    except BaseException as error:
        if why := _disk_trouble(error):
            return DiskError(why)
        return raised(error)


def raised(error: BaseException) -> WorkFailure:
    """An exception as the failure of a task."""
    text = one_line(str(error))
    no_memory = isinstance(error, MemoryError) or any(each in text for each in _OUT_OF_MEMORY)
    return WorkFailure("out_of_resources" if no_memory else "error", f"{type(error).__name__}: {text}")


def one_line(text: str) -> str:
    """Text without line breaks, the middle left out where it is long."""
    line = " ".join(text.split())
    if len(line) <= _REASON_HEAD + _REASON_TAIL:
        return line
    return f"{line[:_REASON_HEAD]} ... {line[-_REASON_TAIL:]}"


def _disk_trouble(error: BaseException) -> str | None:
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _DISK_ERRORS:
            return f"{each.filename or 'a file'}: cannot be written: {each.strerror}"
        if os.strerror(errno.ENOSPC) in str(each):
            return one_line(str(each))
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
