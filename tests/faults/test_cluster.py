"""The real command on a local Ray cluster of two nodes, one of which dies in the middle.

tests/executors/test_ray.py has the executor's own tests, which are not long.
"""

from __future__ import annotations

import pytest

from tests.faults.command import SweepCommand, error_of
from tests.support.patience import PATIENCE_S, wait_for

pytest.importorskip("ray")

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
SWEEP = """\
name: cluster
kernel: tests.sweep.toy_kernels:SLOW
device: NVIDIA_B200
problems: {width: 8, tokens: [1, 6]}
space: {block: [1, 2, 4], num_warps: [1, 2], fault: [none, wrong, aborts_in_compile]}
constraints: ["fault == 'none' or (block == 2 and num_warps == 1)"]
search: {strategy: random, seed: 5}
verify: {seeds: 2}
"""
TRIALS = 16


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    command = SweepCommand(tmp_path_factory.mktemp("here") / "sweep", SWEEP, "--jobs", "1")
    command.finish()
    return command


def without_resources(trials):
    return {
        trial["trial"]: (trial["status"], trial["stage"], trial["time_us"], trial["reason"])
        for trial in trials
    }


@pytest.mark.long
@pytest.mark.parametrize("dies", [False, True], ids=["both nodes live", "one node dies"])
def test_a_cluster_ends_with_the_winners_of_one_machine(here, cluster, tmp_path, dies):
    node = cluster.add_node(**NODE)
    there = SweepCommand(tmp_path / "sweep", SWEEP, "--ray", cluster.address)
    process = there.start()
    wait_for(lambda: len(there.recorded) >= 2, process)
    if dies:
        cluster.remove_node(node, allow_graceful=False)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert len(there.trials) == TRIALS
    assert without_resources(there.trials) == without_resources(here.trials)
    assert there.winners == here.winners
    assert there.left_behind() == set()


@pytest.mark.long
def test_a_killed_command_leaves_nobody_on_the_nodes_and_continues_on_one_machine(here, cluster, tmp_path):
    there = SweepCommand(tmp_path / "sweep", SWEEP, "--ray", cluster.address, "--jobs", "1")
    process = there.start()
    wait_for(lambda: len(there.recorded) >= 2, process)
    there.kill(process)
    there.options = ("--jobs", "1")
    there.finish()
    assert without_resources(there.trials) == without_resources(here.trials)
    assert there.winners == here.winners


def test_an_address_that_nobody_answers_at_is_one_line(tmp_path):
    stopped = SweepCommand(tmp_path / "sweep", SWEEP, "--ray", "127.0.0.1:1").run()
    assert stopped.returncode == 2
    assert "--ray: no Ray cluster answers at 127.0.0.1:1 (Connection refused)" in error_of(stopped)
