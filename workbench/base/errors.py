"""The errors that a user can meet; each becomes one line on the terminal and an exit code.

WorkbenchError          exit code
├── InputError          2   a file, key, value or argument is wrong, or an output cannot be written
├── IncomparableError   2   results that must not be compared
├── WorkerError         2   worker processes cannot run, whatever their task
├── NothingValidError   3   a sweep in which no problem has a valid config
└── GateError           1   a gate failed: a regression, a liveness or a correctness check
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class WorkbenchError(Exception):
    """Base of all errors that are reported as one line, without a traceback."""

    exit_code: ClassVar[int] = 2


class InputError(WorkbenchError):
    """Something that the user gave is wrong.

    Args:
        message: what is wrong and what is allowed.
        file: the file in which it is wrong.
        line: the line in that file, counted from 1.
        key: the key in that file, dotted.
    """

    def __init__(
        self, message: str, *, file: str | Path | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.message, self.file, self.line, self.key = message, file, line, key
        where = f"{file}:{line}" if file and line else f"{file}" if file else ""
        super().__init__(": ".join(" ".join(part.split()) for part in (where, key or "", message) if part))


class IncomparableError(WorkbenchError):
    """Two results differ in what must be equal before they may be compared."""


class WorkerError(WorkbenchError):
    """Worker processes cannot start, or died for no fault of a task."""


class NothingValidError(WorkbenchError):
    """No problem of a sweep has a valid config."""

    exit_code = 3


class GateError(WorkbenchError):
    """A gate failed."""

    exit_code = 1
