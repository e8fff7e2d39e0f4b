"""A cluster of two nodes on this machine, one core each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.executors import tasks
from tests.support.patience import PATIENCE_S
from tests.support.processes import processes_with, wait_until_gone
from workbench.base.errors import InputError, WorkerError
from workbench.executors import WorkFailure

pytest.importorskip("ray")

from workbench.executors import ray as cluster_of_ray
from workbench.executors.ray import ray_site

pytestmark = pytest.mark.slow
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def site(cluster):
    cluster.add_node(**NODE)
    with ray_site(cluster.address, None) as site:
        yield site


@pytest.fixture
def workers(site):
    with site.workers(2, timeout_s=PATIENCE_S, environment={"POOL_TEST": "ray"}) as workers:
        yield workers


def test_the_cluster_says_what_it_has(site):
    assert (site.cpus, site.gpus, site.gpu_workers(timeout_s=1)) == (2, 0, [])
    assert site.gpu_at_hand() == (None, None)


def test_results_come_back_from_both_nodes(workers):
    nodes = [workers.submit(tasks.node_after, 0.3) for _ in range(6)]
    assert [each.result() for each in [workers.submit(tasks.add, 1, number) for number in range(6)]] == [
        *range(1, 7)
    ]
    assert len({each.result() for each in nodes}) == 2


def test_what_a_task_does_to_its_process_is_told_as_on_one_machine(workers):
    assert workers.submit(tasks.variable, "POOL_TEST").result() == "ray"
    assert workers.submit(tasks.fail, "no").result() == WorkFailure("error", "ValueError: no")
    assert workers.submit(tasks.leave).result() == WorkFailure("error", "SystemExit: 3")
    aborted = WorkFailure("crashed", "the worker process died of SIGABRT", -signal.SIGABRT)
    assert workers.submit(tasks.abort).result() == aborted
    with pytest.raises(WorkerError, match="No space left on device"):
        workers.submit(tasks.find_the_disk_full).result()
    assert workers.submit(tasks.add, 1, 1).result() == 2


@pytest.mark.long
def test_a_task_over_its_time_is_killed(site):
    with site.workers(1, timeout_s=2) as workers:
        assert workers.submit(tasks.hang).result() == WorkFailure("timeout", "killed after 2 s")
    with site.workers(1, timeout_s=PATIENCE_S) as workers:
        assert workers.submit(tasks.add, 1, 1).result() == 2


def test_leaving_ends_what_runs_on_the_nodes(site):
    with site.workers(1, timeout_s=PATIENCE_S, environment={"POOL_TEST": f"left {os.getpid()}"}) as workers:
        pid = workers.submit(tasks.pid).result()
        running = workers.submit(tasks.hang)
    assert running.cancelled()
    assert wait_until_gone({pid}) == set()
    assert wait_until_gone(processes_with(f"POOL_TEST=left {os.getpid()}")) == set()


def test_a_node_that_dies_costs_only_the_tasks_in_flight(cluster, site, tmp_path):
    node = cluster.add_node(**NODE)
    with site.workers(3, timeout_s=PATIENCE_S) as workers:
        for future in [workers.submit(tasks.node_after, 1.0) for _ in range(3)]:
            future.result()
        futures = [workers.submit(tasks.note_and_sleep, tmp_path, number, 0.5) for number in range(12)]
        while len(list(tmp_path.iterdir())) < 4:
            time.sleep(0.05)
        done = {number for number, future in enumerate(futures) if future.done()}
        cluster.remove_node(node, allow_graceful=False)
        assert [future.result() for future in futures] == list(range(12))
        begun = [path.name.partition(".")[0] for path in tmp_path.iterdir()]
    again = {int(number) for number in begun if begun.count(number) > 1}
    assert len(again) <= 1
    assert again.isdisjoint(done)


@pytest.mark.long
def test_a_task_that_takes_its_node_along_thrice_is_the_culprit(workers):
    failure = workers.submit(tasks.kill_its_parent).result()
    assert failure.kind == "crashed"
    assert failure.reason.endswith(", 3 times")
    assert workers.submit(tasks.add, 1, 1).result() == 2


def test_a_cluster_without_room_is_one_error(site, monkeypatch):
    monkeypatch.setattr(cluster_of_ray, "_PLACE_S", 1.0)
    with (
        site.workers(1, timeout_s=1) as workers,
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(WorkerError, match="no worker is left: no node of the Ray cluster took a worker"),
    ):
        patch.setattr(cluster_of_ray, "_CPU_SHARE", 64)
        workers.submit(tasks.add, 1, 1).result()


@pytest.mark.parametrize("gpus", [1, 8])
def test_more_gpus_than_the_cluster_has_are_one_error(cluster, gpus):
    code = (
        "import sys; from workbench.executors.ray import ray_site\n"
        f"with ray_site({cluster.address!r}, {gpus}): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    told = f"--gpus: asks for {gpus} measuring workers, one a GPU, and no GPU is in the cluster at {cluster.address}"
    assert told in done.stderr


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.parametrize(
    "address", ["", "here", "host:", "host:port", ":6379", "http://host:1", "host:99999", "a:1/b"]
)
def test_what_is_no_address_is_one_error(address):
    with pytest.raises(InputError, match=r"--ray: .* is no address: HOST:PORT"), ray_site(address, None):
        pass


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens_is_one_error_at_once(scheme):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(InputError, match=r"no Ray cluster answers at .*Connection refused"),
        ray_site(address, None),
    ):
        pass


@pytest.mark.long
def test_somebody_who_listens_and_is_no_cluster_is_one_error_in_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "workbench", "sweep", "routing", "--ray", address, "--dry-run"],
            capture_output=True,
            text=True,
            env=_environment(),
            timeout=PATIENCE_S,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: --ray: no Ray cluster answers at {address}")


def _accept(server):
    kept = []
    while True:
        try:
            kept.append(server.accept())
        except OSError:
            return


def test_without_ray_the_hint_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(InputError, match=r"--ray: Ray is not installed: pip install 'moe-workbench\[ray\]'"),
        ray_site("127.0.0.1:1", None),
    ):
        pass
