from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from tests.support.patience import PATIENCE_S
from workbench.sweep.share import share_out


def test_one_worker_does_all_in_order_and_in_this_thread():
    seen = []
    share_out(
        range(5), ["only"], lambda item, worker: seen.append((item, worker, threading.current_thread()))
    )
    assert seen == [(item, "only", threading.current_thread()) for item in range(5)]


def test_results_are_in_the_order_of_the_items_whoever_is_done_first():
    def work(item, worker):
        time.sleep(0.05 * (3 - item))
        return item * 10

    assert share_out(range(4), "ab", work) == [0, 10, 20, 30]


def test_a_worker_does_one_item_at_a_time_and_all_work_at_once():
    busy, most, barrier = set(), [], threading.Barrier(3)

    def work(item, worker):
        assert worker not in busy
        busy.add(worker)
        most.append(len(busy))
        if item < 3:
            barrier.wait(timeout=PATIENCE_S)
        busy.remove(worker)

    share_out(range(30), "abc", work)
    assert max(most) == 3


def test_the_first_exception_is_raised_while_others_still_work():
    never = Future()

    def work(item, worker):
        if item == 1:
            raise ValueError("one")
        return never.result(timeout=PATIENCE_S)

    with pytest.raises(ValueError, match="one"):
        share_out(range(6), "ab", work)
    assert not never.done()
    never.set_result(None)
