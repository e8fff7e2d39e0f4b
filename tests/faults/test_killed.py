"""The real command killed with SIGKILL, many times over: it must end as if nothing had happened."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time

import pytest

from tests.faults.command import SweepCommand
from tests.faults.recording import replay
from tests.support.patience import wait_for
from tests.support.processes import processes_with, serves_all

pytestmark = pytest.mark.usefixtures("warm_workers")
# How many times a sweep is killed at random; the more, the rarer the moments that are met.
KILLS = 12
# How many workers of a sweep are killed where not one after the other.
FEW_VICTIMS = 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    command = replay(tmp_path_factory.mktemp("undisturbed") / "sweep")
    started = time.monotonic()
    command.finish_alone()
    return command, time.monotonic() - started


@pytest.mark.slow
def test_a_sweep_killed_before_within_and_near_its_end_ends_with_the_same_winners(undisturbed, tmp_path):
    undisturbed, _ = undisturbed
    killed = replay(tmp_path / "sweep")
    for is_there in (
        lambda: killed.has_begun,
        *(_has_done(killed, undisturbed, share) for share in (0.2, 0.7)),
    ):
        before, process = killed.recorded, killed.start()
        wait_for(is_there, process)
        killed.kill(process)
        assert killed.recorded[: len(before)] == before
    killed.finish()
    _assert_the_same(killed, undisturbed)


def _has_done(killed, undisturbed, share):
    return lambda: len(killed.recorded) >= share * len(undisturbed.recorded)


@pytest.mark.long
def test_a_sweep_killed_at_random_moments_ends_with_the_same_winners(undisturbed, tmp_path):
    undisturbed, seconds = undisturbed
    moments, round_number, kills = random.Random(), 0, 0
    while kills < KILLS:
        killed = replay(tmp_path / f"sweep{round_number}")
        round_number += 1
        while kills < KILLS and killed.winners != undisturbed.winners:
            before = killed.recorded
            process = killed.start()
            time.sleep(_moment(moments, seconds))
            if process.poll() is not None:
                process.communicate()
                break
            killed.kill(process)
            kills += 1
            assert killed.recorded[: len(before)] == before
        killed.finish()
        _assert_the_same(killed, undisturbed)


def _moment(moments, seconds):
    """Mostly when the sweep itself runs, which is late: starting Python takes the better part of the time."""
    return (
        moments.uniform(0.5, 1.0) * seconds if moments.random() < 0.8 else moments.uniform(0.0, 0.5) * seconds
    )


def _assert_the_same(killed, undisturbed):
    names = [trial["trial"] for trial in killed.trials]
    assert len(names) == len(set(names))
    assert {trial["trial"]: trial for trial in killed.trials} == {
        trial["trial"]: trial for trial in undisturbed.trials
    }
    assert killed.winners == undisturbed.winners
    assert [path for path in killed.folder.rglob("*") if path.suffix in (".holder", ".workbench-probe")] == []


@pytest.mark.parametrize("name", ["samples.jsonl", "finals.jsonl"])
def test_a_half_written_line_beside_the_trials_is_dropped(undisturbed, tmp_path, name):
    undisturbed, _ = undisturbed
    torn = replay(tmp_path / "sweep")
    _tear_and_finish(torn, name, b'{"half": "a li')
    _assert_the_same(torn, undisturbed)


@pytest.mark.parametrize("half", [b'{"trial": "th', b"\x00" * 40], ids=["text", "zeros"])
def test_of_a_half_written_trial_only_its_work_is_repeated(tmp_path, half):
    undisturbed, torn = (replay(tmp_path / name, noise="none") for name in ("undisturbed", "torn"))
    undisturbed.finish()
    _tear_and_finish(torn, "trials.jsonl", half)
    _assert_the_same(torn, undisturbed)


def _tear_and_finish(command, name, half):
    command.finish()
    path = command.journal.with_name(name)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-1]) + half)
    command.finish()
    again = path.read_bytes().splitlines(keepends=True)
    assert again[: len(whole) - 1] == whole[:-1]
    assert all(json.loads(line) for line in again)


SLOW = """\
name: slow
kernel: tests.sweep.toy_kernels:SLOW
device: NVIDIA_B200
problems: {width: 8, tokens: [1, 6]}
space: {block: [1, 2, 4]}
search: {strategy: exhaustive}
verify: {seeds: 1}
"""


@pytest.mark.slow
@pytest.mark.parametrize("most", [FEW_VICTIMS, pytest.param(math.inf, marks=pytest.mark.long)])
def test_workers_that_somebody_kills_cost_no_config_anything(tmp_path, most):
    undisturbed = SweepCommand(tmp_path / "undisturbed", SLOW, "--jobs", "1")
    undisturbed.finish()
    disturbed = SweepCommand(tmp_path / "disturbed", SLOW, "--jobs", "1")
    process, victims = disturbed.start(), 0
    while process.poll() is None:
        known = len(disturbed.recorded)
        if victims < most and (helpers := _helpers(disturbed, process)):
            os.kill(random.choice(helpers), signal.SIGKILL)
            victims += 1
        # The next victim when the task of the last one is done: killed twice, a config is taken for the culprit.
        while process.poll() is None and len(disturbed.recorded) == known:
            time.sleep(0.1)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert victims >= FEW_VICTIMS
    assert {trial["status"] for trial in disturbed.trials} == {"ok"}
    assert disturbed.winners == undisturbed.winners
    assert disturbed.left_behind() == set()


def _helpers(command, process):
    """Workers and the guardians that watch over them."""
    others = processes_with(command.marker) - {process.pid}
    return [pid for pid in sorted(others) if not serves_all(pid)]
