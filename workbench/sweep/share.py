"""Shares items out among workers, each of which can do one at a time, and guards what the workers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from queue import SimpleQueue
from threading import RLock
from typing import TypeVar

from workbench.base.errors import WorkerError

Item = TypeVar("Item")
Owner = TypeVar("Owner")
Result = TypeVar("Result")


class SharedLock:
    """Lets one thread at a time at what all of them share, and nobody once it has ended, for one GPU's failure say."""

    def __init__(self) -> None:
        self._lock, self._has_ended = RLock(), False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._has_ended:
            self._lock.release()
            raise WorkerError("the sweep has been ended")

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def end(self) -> None:
        """From now on, entering raises `WorkerError`."""
        with self._lock:
            self._has_ended = True


def share_out(
    items: Sequence[Item], workers: Sequence[Owner], work: Callable[[Item, Owner], Result]
) -> list[Result]:
    """Does each item with whichever worker is free next; with one worker, in order and in this thread.

    Args:
        items: what is to be done, begun in this order.
        workers: at least one.
        work: called with an item and a worker; with several workers, from several threads.

    Returns:
        The results in the order of the items. The first exception is raised at once: whoever owns the workers must
        end them then, which ends what others are at.
    """
    if len(workers) == 1:
        return [work(item, workers[0]) for item in items]
    free: SimpleQueue[Owner] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def with_a_free_worker(item: Item) -> Result:
        worker = free.get()
        try:
            return work(item, worker)
        finally:
            free.put(worker)

    threads = ThreadPoolExecutor(len(workers))
    try:
        futures = [threads.submit(with_a_free_worker, item) for item in items]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
