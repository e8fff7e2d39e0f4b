"""Hands tasks out to workers as they come free, wherever those run."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from workbench.base.errors import WorkerError


@dataclass(frozen=True, slots=True)
class WorkFailure:
    """Why a task gave no result.

    Attributes:
        kind: `timeout` (killed for taking too long), `out_of_resources` (killed for taking too much memory, or it
            got none), `crashed` (its process died) or `error` (it raised).
        reason: one line for people.
    """

    kind: Literal["timeout", "out_of_resources", "crashed", "error"]
    reason: str
    exit_code: int | None = None


# Workers that may be lost under one task before that is taken for the task's doing.
_LIVES = 3


class WorkerLostError(Exception):
    """A worker's machine is gone, for no fault of its task: the task is for another one."""


class Interrupted(Exception):  # noqa: N818 - no error: somebody asked for it
    """A worker was told to end while it ran a task."""


class Worker(Protocol):
    """Runs one task at a time."""

    def prepare(self) -> None:
        """Waits until there is a place to run a task; called before each, without one.

        Raises:
            WorkerError: there will be none.
            Interrupted: `interrupt` was called.
        """
        ...

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any | WorkFailure:
        """The task's result, or why it gave none.

        Raises:
            WorkerError: it cannot run, whatever the task.
            WorkerLostError: its machine is gone, and the task is for whoever is free.
            Interrupted: `interrupt` was called.
        """
        ...

    def interrupt(self) -> None:
        """Ends what it runs, from another thread; nothing runs after that."""
        ...

    def close(self) -> None:
        """Ends its process."""
        ...


@dataclass(slots=True)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]
    losses: int = 0


class Executor(ABC):
    """Runs functions in up to `jobs` workers, each started when there is something for it to do."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._lock = Lock()
        self._why_ended: str | None = None
        self._forget()

    @abstractmethod
    def _worker(self) -> Worker:
        """A worker, not started yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._why_ended = "the workers have been ended"
        self.renew()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Schedules a call; its future holds the result, or the `WorkFailure` that says why there is none.

        Args:
            function: importable where the workers run.
            arguments: picklable.

        Raises:
            WorkerError: the workers have been ended, or none is left. The future raises it where they cannot run.
        """
        task = _Task(function, arguments, Future())
        with self._lock:
            if self._why_ended:
                raise WorkerError(self._why_ended)
            self._tasks.put(task)
            self._unfinished += 1
            if len(self._workers) < min(self.jobs, self._unfinished):
                self._start_one()
        return task.future

    def renew(self) -> None:
        """Ends the workers, whatever they are at; the next task starts fresh ones."""
        with self._lock:
            tasks, workers = self._tasks, self._workers
            self._forget()
        _cancel_all(tasks)
        for worker in workers.values():
            worker.interrupt()
            tasks.put(None)
        for thread in workers:
            thread.join()

    def _forget(self) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._workers: dict[Thread, Worker] = {}
        self._unfinished = 0

    def _start_one(self) -> None:
        worker = self._worker()
        thread = Thread(target=self._serve, args=(worker, self._tasks), daemon=True)
        self._workers[thread] = worker
        # Threads and the processes that they start inherit the mask: Ctrl-C is for the main thread.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _serve(self, worker: Worker, tasks: SimpleQueue[_Task | None]) -> None:
        task = None
        try:
            while True:
                worker.prepare()
                if (task := tasks.get()) is None:
                    return
                self._run(worker, task, tasks)
        except Interrupted:
            _cancel(task)
        except Exception as error:
            self._lost(tasks, str(error))
        finally:
            worker.close()

    def _run(self, worker: Worker, task: _Task, tasks: SimpleQueue[_Task | None]) -> None:
        try:
            task.future.set_result(worker.run(task.function, task.arguments))
        except Interrupted:
            raise
        except WorkerLostError as error:
            task.losses += 1
            if task.losses < _LIVES:
                tasks.put(task)
                return
            task.future.set_result(WorkFailure("crashed", f"{error}, {_LIVES} times"))
        except BaseException as error:
            task.future.set_exception(error)
        with self._lock:
            self._unfinished -= tasks is self._tasks

    def _lost(self, tasks: SimpleQueue[_Task | None], why: str) -> None:
        """Where it was the last worker, nobody is left to wait for."""
        with self._lock:
            if tasks is not self._tasks:
                return
            self._workers = {thread: each for thread, each in self._workers.items() if thread.is_alive()}
            self._workers.pop(current_thread(), None)
            if self._workers:
                return
            self._why_ended = f"no worker is left: {why}"
        for task in _drained(tasks):
            task.future.set_exception(WorkerError(self._why_ended))


def _drained(tasks: SimpleQueue[_Task | None]) -> list[_Task]:
    found = []
    with suppress(Empty):
        while True:
            if task := tasks.get_nowait():
                found.append(task)
    return found


def _cancel_all(tasks: SimpleQueue[_Task | None]) -> None:
    for task in _drained(tasks):
        _cancel(task)


def _cancel(task: _Task | None) -> None:
    if task and task.future.cancel():
        task.future.set_running_or_notify_cancel()
