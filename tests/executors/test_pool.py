from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.executors import tasks
from tests.support.patience import PATIENCE_S, wait_for
from tests.support.processes import processes_with, start_in_terminal, wait_until_gone
from workbench.base.errors import InputError, WorkerError
from workbench.executors import WorkerPool, WorkFailure, memory

ROOT = Path(__file__).parents[2]
# What is killed for taking longer never ends; what must not be killed has no limit as short.
LIMIT_S = 4.0


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2, timeout_s=PATIENCE_S) as pool:
        yield pool


def test_results_come_back(pool):
    futures = [pool.submit(tasks.add, number, 1) for number in range(20)]
    assert [future.result() for future in futures] == list(range(1, 21))


def test_an_exception_is_told_in_one_line(pool):
    failure = pool.submit(tasks.fail, "at 3:4:\n    x = y\n        ^\n\nno such name").result()
    assert failure == WorkFailure("error", "ValueError: at 3:4: x = y ^ no such name")


def test_of_a_long_message_both_ends_are_kept(pool):
    failure = pool.submit(tasks.fail, f"where {'x' * 5000} why").result()
    assert failure.reason.startswith("ValueError: where xxx")
    assert failure.reason.endswith("xxx why")
    assert len(failure.reason) < 400


def test_an_exception_that_does_not_unpickle_harms_nobody_else(pool):
    failure = pool.submit(tasks.fail_unpicklably).result()
    assert failure == WorkFailure("error", "UnpicklableError: one and two")
    assert pool.submit(tasks.add, 1, 1).result() == 2


def test_a_result_that_cannot_be_pickled_is_an_error_of_its_task(pool):
    failure = pool.submit(tasks.give_a_generator).result()
    assert failure.kind == "error"
    assert "generator" in failure.reason
    assert pool.submit(tasks.add, 1, 1).result() == 2


def test_a_task_that_raises_a_timeout_was_not_killed(pool):
    failure = pool.submit(tasks.fail_with_a_timeout).result()
    assert failure == WorkFailure("error", "TimeoutError: the server said so")


def test_a_task_that_exits_does_not_take_the_owner_along(pool):
    assert pool.submit(tasks.leave).result() == WorkFailure("error", "SystemExit: 3")


def test_a_task_over_its_time_is_killed_and_its_worker_replaced():
    with WorkerPool(1, timeout_s=LIMIT_S) as pool:
        before = pool.submit(tasks.pid).result()
        assert pool.submit(tasks.hang).result() == WorkFailure("timeout", f"killed after {LIMIT_S:g} s")
        assert wait_until_gone({before}) == set()
        assert pool.submit(tasks.pid).result() != before


def test_a_worker_that_aborts_loses_only_its_own_task(pool):
    futures = [pool.submit(tasks.abort), *(pool.submit(tasks.add, number, 0) for number in range(6))]
    failure, *others = (future.result() for future in futures)
    assert failure == WorkFailure("crashed", "the worker process died of SIGABRT", exit_code=-signal.SIGABRT)
    assert others == list(range(6))


def test_the_exit_code_of_a_worker_is_told(pool):
    assert pool.submit(tasks.end_with, 86).result().exit_code == 86
    assert pool.submit(tasks.kill_itself).result().reason == "the worker process died of SIGKILL, twice"


def test_a_pool_that_is_given_nothing_starts_nothing():
    with WorkerPool(2, timeout_s=1, environment={"POOL_TEST": f"idle {os.getpid()}"}):
        assert processes_with(f"POOL_TEST=idle {os.getpid()}") == set()


def test_variables_are_set_before_triton_is_imported():
    with WorkerPool(1, timeout_s=PATIENCE_S, environment={"TRITON_INTERPRET": "1"}) as pool:
        assert pool.submit(tasks.variable_seen_by_triton).result() is True
    assert os.environ.get("TRITON_INTERPRET") != "1"


def test_a_worker_starts_without_torch(pool):
    assert pool.submit(tasks.modules).result().isdisjoint({"torch", "triton"})


def test_leaving_the_pool_ends_what_is_running(tmp_path):
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        pool.submit(tasks.start_a_sleeper, tmp_path / "pids")
        pids = read_pids(tmp_path / "pids")
    assert wait_until_gone(pids) == set()


def test_workers_that_cannot_start_are_no_failure_of_a_task(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(IMPORTS_TRITON)
    found = subprocess.run(
        [sys.executable, str(script)], env=environment(), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert found.stdout == "WorkerError\n", found.stderr
    assert "the main module imports triton" in found.stderr


IMPORTS_TRITON = """\
import triton
from workbench.base.errors import WorkerError
from workbench.executors import WorkerPool
from tests.executors.tasks import add

if __name__ == "__main__":
    with WorkerPool(1, timeout_s=60, environment={"TRITON_INTERPRET": "1"}) as pool:
        try:
            print(pool.submit(add, 1, 1).result())
        except WorkerError:
            print("WorkerError")
"""


def test_a_worker_that_somebody_kills_while_it_is_idle_is_replaced():
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        for _ in range(3):
            os.kill(pool.submit(tasks.pid).result(), signal.SIGKILL)
            assert pool.submit(tasks.add, 1, 1).result() == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_task_whose_worker_somebody_kills_is_run_once_more(tmp_path, how):
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        future = pool.submit(tasks.sleep_the_first_time, tmp_path / "pids")
        (pid,) = read_pids(tmp_path / "pids")
        os.kill(pid, how)
        assert future.result() == "done"


def test_a_guardian_that_somebody_kills_takes_no_task_along(tmp_path):
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        worker = pool.submit(tasks.pid).result()
        os.kill(os.getpgid(worker), signal.SIGKILL)
        assert pool.submit(tasks.add, 1, 1).result() == 2
        # Its group is cleared away, and the next task finds that out; one that is lost twice is taken for the culprit.
        assert wait_until_gone({worker}) == set()
        assert pool.submit(tasks.add, 1, 1).result() == 2
        future = pool.submit(tasks.sleep_the_first_time, tmp_path / "pids")
        (pid,) = read_pids(tmp_path / "pids")
        os.kill(os.getpgid(pid), signal.SIGKILL)
        assert future.result() == "done"


def test_a_process_that_an_earlier_task_spoiled_is_no_fault_of_a_later_one():
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        assert pool.submit(tasks.spoil_quietly).result() is None
        assert pool.submit(tasks.add_unless_spoiled, 1, 1).result() == 2


def test_after_a_task_that_raised_the_next_one_gets_a_fresh_process():
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        before = pool.submit(tasks.pid).result()
        pool.submit(tasks.fail, "no").result()
        assert pool.submit(tasks.pid).result() != before


def test_after_a_harmless_exception_the_process_stays():
    with WorkerPool(1, timeout_s=PATIENCE_S, harmless=["ValueError"]) as pool:
        before = pool.submit(tasks.pid).result()
        assert pool.submit(tasks.fail, "no").result() == WorkFailure("error", "ValueError: no")
        assert pool.submit(tasks.pid).result() == before


def test_a_task_that_ends_its_process_as_if_all_were_well_crashed():
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        failure = pool.submit(tasks.end_with, 0).result()
        assert failure == WorkFailure("crashed", "the worker process ended with code 0", 0)


def test_a_task_that_gets_no_memory_is_out_of_resources(pool):
    failure = pool.submit(tasks.ask_for_too_much_memory).result()
    assert (failure.kind, failure.reason) == ("out_of_resources", "MemoryError: ")


@pytest.mark.parametrize("take", [tasks.take_memory, tasks.have_a_child_take_memory])
def test_a_worker_that_takes_too_much_memory_is_killed(monkeypatch, take):
    monkeypatch.setattr(memory, "worker_limit", lambda: 0.5 * memory.GIB)
    with WorkerPool(2, timeout_s=PATIENCE_S) as pool:
        future, others = pool.submit(take, 4 * memory.GIB), [pool.submit(tasks.add, 1, 1) for _ in range(5)]
        failure = future.result()
        assert failure.kind == "out_of_resources"
        assert "GiB of memory (a worker may hold 0.5 GiB; WORKBENCH_WORKER_MEMORY_GIB sets" in failure.reason
        assert [each.result() for each in others] == [2] * 5


def test_where_no_memory_is_left_the_largest_worker_goes(monkeypatch):
    held = {1: 6 * memory.GIB, 2: 5 * memory.GIB, 3: 0}
    monkeypatch.setattr(memory, "_bytes_of_tree", lambda pid: held.get(pid, 0))
    monkeypatch.setattr(memory, "total_bytes", lambda: 16 * memory.GIB)
    monkeypatch.setattr(memory, "_available_bytes", lambda: memory.GIB)
    assert memory.too_large(held, 3) is None
    monkeypatch.setattr(memory, "_available_bytes", lambda: 0)
    assert memory.too_large(held, 3) == (
        1,
        "killed holding 6.0 GiB of memory when none was left",
    )
    # The memory went elsewhere: no worker holds more than its share of it.
    assert memory.too_large(held, 1) is None
    assert memory.too_large([], 3) is None


def test_what_a_container_may_hold_counts_and_its_page_cache_does_not(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUPS", ((limit, ("anon", "shmem")), (tmp_path / "none", ("rss",))))
    machine = memory._available_bytes()
    (tmp_path / "memory.stat").write_text("anon 5000\nfile 900000\nshmem 1000\n")
    limit.write_text("max\n")
    assert memory._available_bytes() == pytest.approx(machine, rel=0.2)
    limit.write_text("10000\n")
    assert memory._available_bytes() == 4000
    assert memory.total_bytes() == 10_000
    limit.write_text("20000\n")
    assert memory.total_bytes() == 20_000


def test_a_worker_may_hold_more_once_the_machine_has_more(monkeypatch):
    monkeypatch.delenv(memory.LIMIT_VARIABLE, raising=False)
    monkeypatch.setattr(memory, "_bytes_of_tree", lambda pid: 6 * memory.GIB)
    for total, is_culprit in ((8, True), (64, False)):
        monkeypatch.setattr(memory, "total_bytes", lambda total=total: total * memory.GIB)
        monkeypatch.setattr(memory, "_available_bytes", lambda: memory.GIB * 60)
        assert bool(memory.too_large([1], 2)) == is_culprit


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "much"])
def test_a_limit_of_memory_that_is_no_number_is_one_error(monkeypatch, text):
    monkeypatch.setenv(memory.LIMIT_VARIABLE, text)
    with pytest.raises(InputError, match="WORKBENCH_WORKER_MEMORY_GIB: must be a positive number"):
        WorkerPool(1, timeout_s=1)


@pytest.mark.parametrize("how", [tasks.find_the_disk_full, tasks.find_the_disk_full_within])
def test_a_full_disk_is_no_failure_of_a_task(pool, how):
    with pytest.raises(WorkerError, match=r"the worker processes cannot run: .*No space left on device"):
        pool.submit(how).result()


def test_workers_that_have_been_ended_take_no_more_tasks():
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        pass
    with pytest.raises(WorkerError, match="have been ended"):
        pool.submit(tasks.add, 1, 1)


def test_renewing_cancels_what_waits_and_what_runs_and_the_next_task_runs():
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:
        before = pool.submit(tasks.pid).result()
        cancelled = [pool.submit(tasks.hang), pool.submit(tasks.add, 1, 1)]
        pool.renew()
        assert all(future.cancelled() for future in cancelled)
        assert wait_until_gone({before}) == set()
        assert pool.submit(tasks.pid).result() != before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_an_owner_that_is_ended(tmp_path, how):
    marker = f"{tmp_path}/marker"
    owner = start_in_terminal(
        [sys.executable, "-m", "tests.executors.owner", str(tmp_path / "pids")],
        cwd=ROOT,
        env={**environment(), "POOL_TEST": marker},
        stderr=subprocess.PIPE,
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
    _, said = owner.communicate(timeout=PATIENCE_S)
    assert owner.returncode != 0
    assert wait_until_gone(everyone) == set()
    assert said.count("Traceback") == (1 if how is signal.SIGINT else 0), said


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}


def read_pids(path):
    wait_for(path.exists)
    return {int(pid) for pid in path.read_text().split()}
