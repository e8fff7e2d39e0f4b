from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.executors import tasks
from tests.support.processes import processes_with, wait_until_gone
from workbench.errors import WorkerError
from workbench.executors import WorkerPool, WorkFailure, outcome

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2, timeout_s=2) as pool:
        yield pool


def test_results_come_back(pool):
    futures = [pool.submit(tasks.add, number, 1) for number in range(20)]
    assert [outcome(future) for future in futures] == list(range(1, 21))


def test_an_exception_is_told_in_one_line(pool):
    failure = outcome(pool.submit(tasks.fail, "at 3:4:\n    x = y\n        ^\n\nno such name"))
    assert failure == WorkFailure("error", "ValueError: at 3:4: x = y ^ no such name")


def test_of_a_long_message_both_ends_are_kept(pool):
    failure = outcome(pool.submit(tasks.fail, f"where {'x' * 5000} why"))
    assert failure.reason.startswith("ValueError: where xxx")
    assert failure.reason.endswith("xxx why")
    assert len(failure.reason) < 400


def test_an_exception_that_does_not_unpickle_harms_nobody_else(pool):
    failure = outcome(pool.submit(tasks.fail_unpicklably))
    assert failure == WorkFailure("error", "UnpicklableError: one and two")
    assert outcome(pool.submit(tasks.add, 1, 1)) == 2


def test_a_result_that_cannot_be_pickled_is_an_error_of_its_task(pool):
    failure = outcome(pool.submit(tasks.give_a_generator))
    assert failure.kind == "error"
    assert "generator" in failure.reason
    assert outcome(pool.submit(tasks.add, 1, 1)) == 2


def test_a_task_that_raises_a_timeout_was_not_killed(pool):
    failure = outcome(pool.submit(tasks.fail_with_a_timeout))
    assert failure == WorkFailure("error", "TimeoutError: the server said so")


def test_a_task_that_exits_does_not_take_the_owner_along(pool):
    assert outcome(pool.submit(tasks.leave)) == WorkFailure("error", "SystemExit: 3")


def test_a_task_over_its_time_is_killed_and_its_worker_replaced(pool):
    started = time.monotonic()
    assert outcome(pool.submit(tasks.hang)) == WorkFailure("timeout", "killed after 2 s")
    assert time.monotonic() - started < 20
    assert [outcome(pool.submit(tasks.add, 1, number)) for number in range(4)] == [1, 2, 3, 4]


def test_a_worker_that_aborts_loses_only_its_own_task(pool):
    futures = [pool.submit(tasks.abort), *(pool.submit(tasks.add, number, 0) for number in range(6))]
    failure, *others = map(outcome, futures)
    assert failure == WorkFailure("crashed", "the worker process died of SIGABRT", exit_code=-signal.SIGABRT)
    assert others == list(range(6))


def test_the_exit_code_of_a_worker_is_told(pool):
    assert outcome(pool.submit(tasks.end_with, 86)).exit_code == 86
    assert outcome(pool.submit(tasks.kill_itself)).reason == "the worker process died of SIGKILL"


def test_a_pool_that_is_given_nothing_starts_nothing():
    with WorkerPool(2, timeout_s=1, environment={"POOL_TEST": f"idle {os.getpid()}"}):
        assert processes_with(f"POOL_TEST=idle {os.getpid()}") == set()


def test_variables_are_set_before_triton_is_imported():
    with WorkerPool(1, timeout_s=60, environment={"TRITON_INTERPRET": "1"}) as pool:
        assert outcome(pool.submit(tasks.variable_seen_by_triton)) is True
    assert os.environ.get("TRITON_INTERPRET") != "1"


def test_a_worker_starts_without_torch(pool):
    assert outcome(pool.submit(tasks.modules)).isdisjoint({"torch", "triton"})


def test_leaving_the_pool_ends_what_is_running(tmp_path):
    started = time.monotonic()
    with WorkerPool(1, timeout_s=60) as pool:
        pool.submit(tasks.start_a_sleeper, tmp_path / "pids")
        pids = read_pids(tmp_path / "pids")
    assert wait_until_gone(pids) == set()
    assert time.monotonic() - started < 20


def test_workers_that_cannot_start_are_no_failure_of_a_task(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(IMPORTS_TRITON)
    found = subprocess.run(
        [sys.executable, str(script)], env=environment(), capture_output=True, text=True, timeout=120
    )
    assert found.stdout == "WorkerError\n", found.stderr
    assert "the main module imports triton" in found.stderr


IMPORTS_TRITON = """\
import triton
from workbench.errors import WorkerError
from workbench.executors import WorkerPool, outcome
from tests.executors.tasks import add

if __name__ == "__main__":
    with WorkerPool(1, timeout_s=60, environment={"TRITON_INTERPRET": "1"}) as pool:
        try:
            print(outcome(pool.submit(add, 1, 1)))
        except WorkerError:
            print("WorkerError")
"""


def test_a_broken_pool_takes_no_more_tasks(tmp_path):
    with WorkerPool(1, timeout_s=60) as pool:
        assert outcome(pool.submit(tasks.add, 1, 1)) == 2
        os.kill(outcome(pool.submit(tasks.pid)), signal.SIGKILL)
        with pytest.raises(WorkerError, match="the worker processes cannot run"):
            for _ in range(100):
                time.sleep(0.1)
                outcome(pool.submit(tasks.add, 1, 1))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_an_owner_that_is_ended(tmp_path, how):
    marker = f"{tmp_path}/marker"
    owner = subprocess.Popen(
        [sys.executable, "-m", "tests.executors.owner", str(tmp_path / "pids")],
        cwd=ROOT,
        env={**environment(), "POOL_TEST": marker},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    pids = read_pids(tmp_path / "pids")
    everyone = processes_with(f"POOL_TEST={marker}")
    # The owner, the guardian, two workers, the sleeper, and whatever multiprocessing has of its own.
    assert everyone > {owner.pid, *pids}
    assert len(everyone) >= 5
    if how is signal.SIGINT:
        # As a terminal does: to every process of the owner's group.
        os.killpg(owner.pid, how)
    else:
        owner.send_signal(how)
    _, said = owner.communicate(timeout=30)
    assert owner.returncode != 0
    assert wait_until_gone(everyone) == set()
    assert said.count("Traceback") == (1 if how is signal.SIGINT else 0), said


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}


def read_pids(path, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, "the worker did not start"
        time.sleep(0.02)
    return {int(pid) for pid in path.read_text().split()}
