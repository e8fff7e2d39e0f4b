"""A pool of worker processes that can be killed one by one, and that never outlive the process that owns them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pebble import ProcessExpired, ProcessPool

from workbench.errors import WorkerError

# A failure's reason is one line; of a longer one, Triton's source excerpt say, the middle is left out.
_REASON_HEAD, _REASON_TAIL = 120, 240


@dataclass(frozen=True, slots=True)
class WorkFailure:
    """Why a task gave no result.

    Attributes:
        kind: `timeout` (killed for taking too long), `crashed` (its process died) or `error` (it raised).
        reason: one line for people.
        exit_code: of the process, where it died.
    """

    kind: Literal["timeout", "crashed", "error"]
    reason: str
    exit_code: int | None = None


class WorkerPool:
    """Runs functions in `jobs` spawned processes, each task under a time limit; the first task starts them.

    Args:
        jobs: worker processes.
        timeout_s: seconds that one task may take before its process is killed and replaced.
        environment: environment variables set in a worker before it imports anything else.
    """

    def __init__(self, jobs: int, *, timeout_s: float, environment: Mapping[str, str] | None = None) -> None:
        self.jobs, self._timeout_s = jobs, timeout_s
        self._environment = dict(environment or {})
        self._guardian: subprocess.Popen[bytes] | None = None
        self._pool: ProcessPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.renew()

    def renew(self) -> None:
        """Ends the worker processes, whatever they are at; the next task starts fresh ones."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
        if self._guardian is not None:
            assert self._guardian.stdin is not None
            self._guardian.stdin.close()
            self._guardian.wait()
        self._pool = self._guardian = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Schedules a call; `function` must be importable, the arguments picklable.

        Raises:
            WorkerError: the workers cannot run.
        """
        self._pool = self._pool or self._start()
        task = (function, *arguments)
        try:
            with _interrupts_held_back():
                future: Future[Any] = self._pool.schedule(_attempt, args=task, timeout=self._timeout_s)
        except RuntimeError as error:
            raise WorkerError(f"the worker processes cannot run: {error}") from error
        return future

    def _start(self) -> ProcessPool:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        return ProcessPool(
            max_workers=self.jobs,
            initializer=_start_worker,
            initargs=(self._guardian.pid, self._environment),
            context=multiprocessing.get_context("spawn"),
        )


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Workers started here inherit the mask: Ctrl-C is for their owner, from their first moment on."""
    # Starting the tracker, which the first lock does otherwise, would undo the mask.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start_worker(group: int, environment: Mapping[str, str]) -> None:
    os.setpgid(0, group)
    if environment and "triton" in sys.modules:
        # Spawned workers import the program's main module first; Triton reads its environment when imported.
        raise RuntimeError("the main module imports triton; import it under `if __name__ == '__main__':`")
    os.environ.update(environment)


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any | WorkFailure:
    """Runs in a worker. Exceptions become text here: one that does not unpickle would break the whole pool."""
    try:
        return function(*arguments)
    except BaseException as error:
        return _raised(error)


def outcome(future: Future[Any]) -> Any | WorkFailure:
    """Waits for a task and returns its result, or why it gave none.

    Raises:
        WorkerError: the workers cannot run; that is no fault of this task.
    """
    try:
        return future.result()
    except TimeoutError as error:
        return WorkFailure("timeout", f"killed after {error.args[1]:g} s")
    except ProcessExpired as error:
        return WorkFailure("crashed", _how_it_died(error.exitcode), exit_code=error.exitcode)
    except BrokenProcessPool as error:
        raise WorkerError(f"the worker processes cannot run: {error}") from error
    except Exception as error:
        return _raised(error)


def _raised(error: BaseException) -> WorkFailure:
    return WorkFailure("error", f"{type(error).__name__}: {_one_line(str(error))}")


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"the worker process died of {signal.Signals(-exit_code).name}"
    return f"the worker process ended with code {exit_code}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= _REASON_HEAD + _REASON_TAIL:
        return line
    return f"{line[:_REASON_HEAD]} ... {line[-_REASON_TAIL:]}"
