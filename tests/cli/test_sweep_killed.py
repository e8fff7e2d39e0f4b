"""The real command, killed at random moments and run again: it must end as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import processes_with, wait_until_gone

ROOT = Path(__file__).parents[2]
# When to kill, as shares of an undisturbed sweep: while starting, while compiling, between trials.
MOMENTS = ((0.02, 0.2), (0.2, 0.5), (0.4, 0.8))
SWEEP = """\
name: killed
kernel: tests.sweep.toy_kernels:SLOW
device: NVIDIA_B200
problems: {width: 8, tokens: [1, 6]}
space: {block: [1, 2, 4], num_warps: [1, 2], fault: [none, wrong]}
search: {strategy: random, seed: 5}
verify: {seeds: 1}
"""
TRIALS = 24


class Command:
    """One sweep in a folder of its own."""

    def __init__(self, folder, **environment):
        folder.mkdir()
        self.folder, self.environment, self.marker = folder, environment, f"{folder}/marker"
        (folder / "sweep.yaml").write_text(SWEEP)

    def start(self):
        return subprocess.Popen(
            [sys.executable, "-m", "workbench", "sweep", "sweep.yaml", "--jobs", "1"],
            cwd=self.folder,
            env={
                **os.environ,
                **self.environment,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
                "SWEEP_TEST": self.marker,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self):
        process = self.start()
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return out

    def end(self, process, how):
        """Ends the command and says what its processes left on standard error."""
        everyone = processes_with(f"SWEEP_TEST={self.marker}") | {process.pid}
        os.killpg(process.pid, how) if how is signal.SIGINT else process.send_signal(how)
        _, err = process.communicate(timeout=60)
        assert wait_until_gone(everyone) == set()
        assert processes_with(f"SWEEP_TEST={self.marker}") == set()
        return err

    @property
    def winners(self):
        (path,) = (self.folder / "results" / "NVIDIA_B200").rglob("*.json")
        return path.read_bytes()

    @property
    def recorded(self):
        """The whole lines of the journal, before there is one too."""
        journals = list(self.folder.glob("results/runs/killed-*/trials.jsonl"))
        return journals[0].read_bytes().split(b"\n")[:-1] if journals else []


@pytest.fixture(scope="module")
def undisturbed(compile_cache, tmp_path_factory):
    command = Command(tmp_path_factory.mktemp("undisturbed") / "sweep")
    started = time.monotonic()
    command.finish()
    return command, time.monotonic() - started


def without_dates(winners):
    file = json.loads(winners)
    for run in file["runs"].values():
        del run["date"]
    return json.dumps(file)


def test_a_sweep_killed_at_random_moments_ends_with_the_same_winners(undisturbed, tmp_path):
    undisturbed, seconds = undisturbed
    # As the shell of somebody has it who runs kernels on the CPU; it must not change a thing.
    killed, moments = Command(tmp_path / "sweep", TRITON_INTERPRET="1"), random.Random()
    for earliest, latest in MOMENTS:
        before = killed.recorded
        process = killed.start()
        time.sleep(moments.uniform(earliest, latest) * seconds)
        if process.poll() is None:
            killed.end(process, signal.SIGKILL)
        else:
            process.communicate()
        assert killed.recorded[: len(before)] == before
    killed.finish()

    names = [json.loads(line)["trial"] for line in killed.recorded]
    assert len(names) == len(set(names)) == TRIALS
    assert sorted(names) == sorted(json.loads(line)["trial"] for line in undisturbed.recorded)
    assert without_dates(killed.winners) == without_dates(undisturbed.winners)

    published = killed.winners
    assert "nothing was timed" in killed.finish()
    assert killed.winners == published
    left = {path.name for path in killed.folder.rglob("*") if path.suffix in (".tmp", ".workbench-probe")}
    assert left == set()


def test_an_interrupted_sweep_says_one_line_and_leaves_nobody_behind(undisturbed, tmp_path):
    interrupted = Command(tmp_path / "sweep")
    process = interrupted.start()
    deadline = time.monotonic() + 60
    while not interrupted.recorded and time.monotonic() < deadline:
        time.sleep(0.02)
    err = interrupted.end(process, signal.SIGINT)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted; the same command continues"
    assert "Traceback" not in err
    assert 0 < len(interrupted.recorded) < TRIALS
