"""One worker process, replaced whenever it may not be sound any more."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pebble import ProcessExpired, ProcessPool

from workbench.base.errors import WorkerError
from workbench.executors.executor import Interrupted, WorkFailure
from workbench.executors.group import WorkerGroup
from workbench.executors.inside import DiskError, attempt, raised, start

# How often a worker may die of what is no task's doing, in a row, before that is taken for the rule.
_DEATHS = 3
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT}
_LOOK_EVERY_S = 0.2


class _KilledFromOutside(Exception):  # noqa: N818 - what happened to a worker
    """Somebody ended the process; carries the failure that this is, should it happen again."""


class WorkerProcess:
    """A pool of one, so that its death concerns no other worker.

    An exception leaves a process in doubt: it may be the doing of an earlier task, which corrupted the device's
    context, say. So a task that raises is run again in a fresh process, and only what it does there counts.

    Args:
        group: what it belongs to.
        timeout_s: seconds that a task may take.
        environment: set before anything else is imported.
        harmless: names of exceptions that leave a process as sound as it was.
    """

    def __init__(
        self,
        group: WorkerGroup,
        *,
        timeout_s: float,
        environment: Mapping[str, str],
        harmless: Collection[str] = (),
    ) -> None:
        self._group, self._timeout_s = group, timeout_s
        self._environment, self._harmless = environment, harmless
        self._pool: ProcessPool | None = None
        self._running: Future[Any] | None = None
        self._interrupted = False
        self._has_run = False
        self.pid: int | None = None

    def prepare(self) -> None:
        """There is always a place here; the process starts with its first task."""

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any | WorkFailure:
        """The task's result, or why it gave none."""
        deaths: list[WorkFailure] = []
        while True:
            had_run = self._has_run
            try:
                result = self._run_once(function, arguments)
            except _KilledFromOutside as death:
                deaths.append(death.args[0])
                if len(deaths) == 2:
                    return replace(deaths[-1], reason=f"{deaths[-1].reason}, twice")
                continue
            if self._is_sound_after(result):
                return result
            self.close()
            if not had_run or result.kind != "error":
                return result

    def interrupt(self) -> None:
        """Ends what it runs."""
        self._interrupted = True
        if (running := self._running) is not None:
            running.cancel()

    def close(self) -> None:
        """Ends the process; the next task starts another."""
        if self._pool is not None:
            self._pool.stop()
            # Nothing in it is worth the wait for an orderly end.
            if self.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self._pool.join()
        self._pool = self.pid = None
        self._has_run = False

    def _run_once(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any | WorkFailure:
        self._start()
        self._has_run = True
        try:
            result = self._wait(attempt, (function, *arguments))
        except TimeoutError:
            return WorkFailure("timeout", f"killed after {self._timeout_s:g} s")
        except ProcessExpired as death:
            return self._died(death.exitcode)
        except BrokenProcessPool:
            self.close()
            raise _KilledFromOutside(WorkFailure("crashed", "the worker process died")) from None
        except Interrupted:
            raise
        except Exception as error:
            return raised(error)
        if isinstance(result, DiskError):
            raise WorkerError(f"the worker processes cannot run: {result}")
        return result

    def _is_sound_after(self, result: Any) -> bool:
        if not isinstance(result, WorkFailure):
            return True
        return result.kind == "error" and result.reason.partition(":")[0] in self._harmless

    def _died(self, exit_code: int | None) -> WorkFailure:
        why, failure = self._group.why_killed(self.pid), death(exit_code)
        self.close()
        if why:
            return WorkFailure("out_of_resources", why, exit_code)
        if exit_code in _FROM_OUTSIDE:
            raise _KilledFromOutside(failure)
        return failure

    def _start(self) -> None:
        """A process of which its first answer shows that it runs."""
        for _ in range(_DEATHS):
            if self._pool is None:
                self._pool = self._new_pool()
            if self.pid is not None and _lives(self.pid):
                return
            if self.pid is None:
                try:
                    self.pid = self._wait(os.getpid, ())
                    return
                except (ProcessExpired, BrokenProcessPool):
                    pass
            self.close()
        raise WorkerError("the worker processes cannot run: they die before their first task")

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            initializer=start,
            initargs=(self._group.leader(), self._environment),
            context=multiprocessing.get_context("spawn"),
        )

    def _wait(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        assert self._pool is not None
        try:
            self._running = self._pool.schedule(function, args=arguments, timeout=self._timeout_s)
        except RuntimeError as error:
            raise BrokenProcessPool(str(error)) from error
        try:
            while not self._interrupted and not wait([self._running], timeout=_LOOK_EVERY_S).done:
                self._look()
            if self._interrupted:
                raise Interrupted
            return self._running.result()
        except CancelledError:
            raise Interrupted from None
        finally:
            self._running = None

    def _look(self) -> None:
        """A process that ended with code 0 in the middle of a task is not missed by its pool."""
        assert self._running is not None
        if self.pid is not None and not _lives(self.pid):
            wait([self._running], timeout=_LOOK_EVERY_S)
            if not self._running.done():
                raise ProcessExpired("Abnormal termination", code=0, pid=self.pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def death(exit_code: int | None) -> WorkFailure:
    """How a process ended, as the failure of its task."""
    if exit_code is not None and exit_code < 0:
        how = f"died of {signal.Signals(-exit_code).name}"
    else:
        how = f"ended with code {exit_code}"
    return WorkFailure("crashed", f"the worker process {how}", exit_code)
