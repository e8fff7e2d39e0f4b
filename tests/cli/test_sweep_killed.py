"""The real command, killed in the middle and run again: it must end as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.faults.command import SweepCommand
from tests.support.patience import wait_for

pytestmark = pytest.mark.usefixtures("warm_workers")
# When to kill, as shares of an undisturbed sweep: while starting, while compiling, between trials.
MOMENTS = ((0.02, 0.2), (0.2, 0.5), (0.4, 0.8))
SWEEP = """\
name: killed
kernel: tests.sweep.toy_kernels:SLOW
device: NVIDIA_B200
problems: {width: 8, tokens: [1, 6]}
space: {block: [1, 2%s], num_warps: [1, 2], fault: [none, wrong]}
search: {strategy: random, seed: 5}
verify: {seeds: 1}
"""
SHORT, LONG = SWEEP % "", SWEEP % ", 4"
TRIALS = {SHORT: 16, LONG: 24}


def command(folder, sweep, **environment):
    return SweepCommand(folder, sweep, "--jobs", "1", **environment)


def assert_ends_as_if_nothing_had_happened(killed, undisturbed):
    killed.finish_alone()
    names = [trial["trial"] for trial in killed.trials]
    assert len(names) == len(set(names)) == len(undisturbed.trials)
    assert sorted(names) == sorted(trial["trial"] for trial in undisturbed.trials)
    assert killed.winners == undisturbed.winners

    (published,) = killed.results
    before = published.read_bytes()
    assert "nothing was timed" in killed.finish().stdout
    assert published.read_bytes() == before
    left = {path.name for path in killed.folder.rglob("*") if path.suffix in (".tmp", ".workbench-probe")}
    assert left == set()


@pytest.mark.long
def test_a_sweep_killed_while_it_compiles_and_between_trials_ends_with_the_same_winners(tmp_path):
    undisturbed = command(tmp_path / "undisturbed", SHORT)
    undisturbed.finish()
    assert len(undisturbed.trials) == TRIALS[SHORT]
    # As the shell of somebody has it who runs kernels on the CPU; it must not change a thing.
    killed = command(tmp_path / "sweep", SHORT, TRITON_INTERPRET="1")
    for is_there in (lambda: killed.has_begun, lambda: len(killed.recorded) >= 3):
        before, process = killed.recorded, killed.start()
        wait_for(is_there, process)
        killed.end(process, signal.SIGKILL)
        assert killed.recorded[: len(before)] == before
    assert 0 < len(killed.recorded) < TRIALS[SHORT]
    assert_ends_as_if_nothing_had_happened(killed, undisturbed)


@pytest.mark.long
def test_a_sweep_killed_at_random_moments_ends_with_the_same_winners(tmp_path):
    undisturbed = command(tmp_path / "undisturbed", LONG)
    started = time.monotonic()
    undisturbed.finish_alone()
    seconds = time.monotonic() - started
    assert len(undisturbed.trials) == TRIALS[LONG]
    killed, moments = command(tmp_path / "sweep", LONG, TRITON_INTERPRET="1"), random.Random()
    for earliest, latest in MOMENTS:
        before = killed.recorded
        process = killed.start()
        time.sleep(moments.uniform(earliest, latest) * seconds)
        if process.poll() is None:
            killed.end(process, signal.SIGKILL)
        else:
            process.communicate()
        assert killed.recorded[: len(before)] == before
    assert_ends_as_if_nothing_had_happened(killed, undisturbed)


@pytest.mark.slow
def test_an_interrupted_sweep_says_one_line_and_leaves_nobody_behind(tmp_path):
    interrupted = command(tmp_path / "sweep", LONG)
    process = interrupted.start()
    wait_for(lambda: interrupted.recorded, process)
    err = interrupted.end(process, signal.SIGINT)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted; the same command continues"
    assert "Traceback" not in err
    assert 0 < len(interrupted.recorded) < TRIALS[LONG]
