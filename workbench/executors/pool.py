"""Worker processes on this machine that can be killed one by one, and that never outlive the one that owns them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import Any

from workbench.executors import memory
from workbench.executors.executor import Executor, Worker
from workbench.executors.group import WorkerGroup
from workbench.executors.process import WorkerProcess


class WorkerPool(Executor):
    """Runs functions in spawned processes, each task under a time limit and a limit of memory.

    Args:
        jobs: worker processes.
        timeout_s: seconds that one task may take before its process is killed and replaced.
        environment: environment variables set in a worker before it imports anything else.
        harmless: names of exceptions after which a worker is used further, and which are believed at once.
    """

    def __init__(
        self,
        jobs: int,
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        harmless: Collection[str] = (),
    ) -> None:
        super().__init__(jobs)
        self._timeout_s, self._harmless = timeout_s, frozenset(harmless)
        self._environment = dict(environment or {})
        self._processes: list[WorkerProcess] = []
        memory.worker_limit()  # Said before any work, where the variable that sets it is wrong.
        self._group = WorkerGroup(self._pids, jobs)

    def renew(self) -> None:
        """Ends the worker processes, whatever they are at; the next task starts fresh ones."""
        super().renew()
        self._group.end()
        self._processes.clear()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Schedules a call; see `Executor.submit`."""
        # Starting the tracker, which the first lock does otherwise, would let Ctrl-C through to the workers.
        resource_tracker.ensure_running()
        return super().submit(function, *arguments)

    def _worker(self) -> Worker:
        self._processes.append(
            WorkerProcess(
                self._group,
                timeout_s=self._timeout_s,
                environment=self._environment,
                harmless=self._harmless,
            )
        )
        return self._processes[-1]

    def _pids(self) -> list[int]:
        return [process.pid for process in list(self._processes) if process.pid is not None]
