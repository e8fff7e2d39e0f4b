"""A disk that is full or read-only under the real command: one line, nothing lost, and later it goes on."""

from __future__ import annotations

import os
import resource
import subprocess

import pytest

from tests.faults.command import SweepCommand, error_of
from tests.faults.recording import replay
from tests.faults.test_configs import SWEEP as MODELLED

MIB = 2**20


@pytest.fixture
def disk(tmp_path):
    """A disk of 2 MiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    command = replay(tmp_path_factory.mktemp("undisturbed") / "sweep")
    command.finish()
    return command


def fill(disk, left):
    """Leaves so many bytes, give or take a page."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    filler.write_bytes(b"x" * (free - left))
    return filler


@pytest.mark.parametrize("left", [0, 12_288, 120_000])
def test_a_full_disk_is_one_line_and_later_the_same_command_continues(undisturbed, disk, tmp_path, left):
    command = replay(tmp_path / "sweep", out=disk / "results")
    filler = fill(disk, left)
    stopped = command.run()
    assert stopped.returncode == 2
    assert "cannot be written: No space left on device" in error_of(stopped)
    known = command.trials
    filler.unlink()
    command.finish()
    assert command.trials[: len(known)] == known
    assert command.winners == undisturbed.winners


def test_winners_that_stood_before_a_full_disk_stay_whole(undisturbed, disk, tmp_path):
    command = replay(tmp_path / "sweep", out=disk / "results")
    command.finish()
    before = command.winners
    fill(disk, 0)
    stopped = command.run("--fresh")
    assert stopped.returncode == 2
    assert command.winners == before


def test_a_file_that_may_not_grow_is_one_line_and_later_the_same_command_continues(undisturbed, tmp_path):
    command = replay(tmp_path / "sweep")
    stopped = command.run_alone(first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
    assert stopped.returncode == 2
    assert "cannot be written: File too large" in error_of(stopped)
    command.finish()
    assert command.winners == undisturbed.winners


def test_a_read_only_results_folder_is_one_line(disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    stopped = replay(tmp_path / "sweep", out=disk / "results").run()
    assert stopped.returncode == 2
    assert "cannot be written: Read-only file system" in error_of(stopped)


def test_workers_that_find_the_disk_full_blame_no_config(disk, tmp_path):
    full = disk / "cache"
    full.mkdir()
    filler = fill(disk, 0)
    command = SweepCommand(tmp_path / "sweep", MODELLED % "none", "--jobs", "1", TRITON_CACHE_DIR=str(full))
    stopped = command.run()
    assert stopped.returncode == 2
    assert "No space left on device" in error_of(stopped)
    assert command.trials == []
    filler.unlink()
    command.finish()
    assert {trial["status"] for trial in command.trials} == {"ok"}
