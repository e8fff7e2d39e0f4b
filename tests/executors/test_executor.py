"""Handing out tasks, with workers that a test makes up."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.patience import PATIENCE_S
from workbench.base.errors import WorkerError
from workbench.executors import Executor, WorkFailure
from workbench.executors.executor import Interrupted, WorkerLostError


class Hall(Executor):
    """Workers of one place.

    Attributes:
        lose: how many more tasks are lost with the machine that did them.
        closed: set once there is no room for workers any more.
        workers: all that were ever made.
    """

    def __init__(self, jobs, lose=0):
        super().__init__(jobs)
        self.lose, self.closed, self.workers = lose, threading.Event(), []

    def _worker(self):
        self.workers.append(Labourer(self))
        return self.workers[-1]


class Labourer:
    def __init__(self, hall):
        self.hall, self.interrupted, self.is_closed = hall, threading.Event(), False

    def prepare(self):
        if self.hall.closed.is_set():
            raise WorkerError("the hall is closed")

    def run(self, function, arguments):
        if self.hall.lose:
            self.hall.lose -= 1
            raise WorkerLostError("the roof came down")
        return function(self, *arguments)

    def interrupt(self):
        self.interrupted.set()

    def close(self):
        self.is_closed = True


def double(worker, number):
    time.sleep(0.01)
    return 2 * number


def wait_for_the_end(worker):
    worker.interrupted.wait()
    raise Interrupted


def test_there_are_no_more_workers_than_tasks_and_than_jobs():
    with Hall(3) as hall:
        assert hall.submit(double, 1).result() == 2
        assert len(hall.workers) == 1
        assert [each.result() for each in [hall.submit(double, number) for number in range(20)]] == [
            2 * number for number in range(20)
        ]
        assert len(hall.workers) == 3
    assert all(worker.is_closed for worker in hall.workers)


def test_a_task_whose_worker_is_lost_is_done_again():
    with Hall(2, lose=2) as hall:
        assert sorted(each.result() for each in [hall.submit(double, n) for n in range(4)]) == [0, 2, 4, 6]


def test_a_task_that_loses_every_worker_is_the_culprit():
    with Hall(1, lose=3) as hall:
        assert hall.submit(double, 1).result() == WorkFailure("crashed", "the roof came down, 3 times")
        assert hall.submit(double, 1).result() == 2


def test_once_no_worker_is_left_nobody_waits_for_ever():
    with Hall(1) as hall:
        hall.closed.set()
        for _ in range(3):
            with pytest.raises(WorkerError, match="no worker is left: the hall is closed"):
                hall.submit(double, 1).result(timeout=PATIENCE_S)


def test_what_a_worker_raises_is_raised_by_its_future_only():
    def fail(worker):
        raise WorkerError("its disk is full")

    with Hall(1) as hall:
        failed, done = hall.submit(fail), hall.submit(double, 1)
        with pytest.raises(WorkerError, match="its disk is full"):
            failed.result()
        assert done.result() == 2


def test_ending_cancels_what_runs_and_what_waits():
    with Hall(1) as hall:
        futures = [hall.submit(wait_for_the_end), hall.submit(double, 1)]
    assert all(future.cancelled() for future in futures)
