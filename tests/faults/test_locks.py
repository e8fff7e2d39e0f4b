"""Two of the real command on one results folder."""

from __future__ import annotations

import json
import signal

import pytest

from tests.faults.command import SweepCommand, error_of
from tests.faults.recording import replay
from tests.faults.test_killed import SLOW
from tests.support.patience import PATIENCE_S, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]


@pytest.fixture
def running(tmp_path):
    """A sweep in the middle of its work."""
    command = SweepCommand(tmp_path / "sweep", SLOW, "--jobs", "1")
    process = command.start()
    wait_for(lambda: command.recorded, process)
    yield command, process
    if process.poll() is None:
        command.kill(process)


@pytest.mark.long
def test_the_same_sweep_twice_says_who_holds_the_lock_and_harms_nobody(running):
    command, process = running
    process.send_signal(signal.SIGSTOP)
    second = command.start()
    _, err = second.communicate(timeout=PATIENCE_S)
    process.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"another process is running this sweep (pid {process.pid} on " in err.splitlines()[-1]
    assert "workbench sweep sweep.yaml" in err.splitlines()[-1]
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert {trial["status"] for trial in command.trials} == {"ok"}


def test_the_lock_of_a_dead_process_is_taken_over_and_that_is_said(running):
    command, process = running
    command.kill(process)
    known = command.trials
    done = command.finish()
    assert f"continues after a process that died (pid {process.pid} on " in done.stderr
    assert command.trials[: len(known)] == known
    assert "continues after" not in command.finish().stderr


@pytest.mark.long
def test_an_interrupted_process_leaves_no_lock(running):
    command, process = running
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "continues after" not in command.finish().stderr


def test_different_sweeps_at_once_both_publish_into_the_same_files(tmp_path):
    sizes = [2**power for power in range(4, 8)]
    commands = [
        replay(tmp_path / f"sweep{size}", f"sweep{size}", sizes=(size, 4096), out=tmp_path / "out")
        for size in sizes
    ]
    processes = [command.start() for command in commands]
    for process in processes:
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
    winners = commands[0].winners
    assert len(winners) == 2
    for file in winners.values():
        assert [int(tokens) for tokens in file["rows"]] == sizes
        assert len(file["runs"]) == len(sizes)


def test_a_results_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "out").write_text("a file")
    stopped = replay(tmp_path / "sweep", out=tmp_path / "out").run()
    assert stopped.returncode == 2
    assert str(tmp_path / "out") in error_of(stopped)
    assert (tmp_path / "out").read_text() == "a file"


def test_a_damaged_note_of_who_holds_the_lock_is_no_trouble(tmp_path):
    command = replay(tmp_path / "sweep")
    command.finish()
    (lock,) = [command.journal.parent.with_name(f".{command.journal.parent.name}.lock.holder")]
    lock.write_text(json.dumps(["nonsense"]))
    command.finish()
