"""Kernels that break the CUDA context, and that never end, in a measured sweep."""

from __future__ import annotations

import pytest

from tests.faults.command import SweepCommand

# A kernel that never ends can cost all the time that a borrowed GPU is there for.
pytestmark = [pytest.mark.gpu, pytest.mark.long]

SWEEP = """\
name: harmful
kernel: tests.faults.kernels:HARMFUL_ON_GPU
device: auto
problems: {width: 8, tokens: [64]}
space: {fault: [%s], block: [1, 4, 16]}
constraints: ["fault == 'none' or block == 4"]
search: {strategy: exhaustive}
measure: {max_rounds: 20, max_seconds: 5}
"""


def test_configs_that_harm_the_gpu_are_lost_alone(tmp_path):
    command = SweepCommand(tmp_path / "sweep", SWEEP % "writes_out_of_bounds, loops, none", "--timeout", "40")
    command.finish(seconds=600)
    rows = {(trial["config"]["fault"], trial["config"]["block"]): trial for trial in command.trials}
    broken, looping = rows.pop(("writes_out_of_bounds", 4)), rows.pop(("loops", 4))
    assert (broken["status"], looping["status"]) == ("crashed", "timeout")
    assert "it broke the CUDA context" in broken["reason"]
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert len(rows) == 3
    before = command.journal.read_bytes()
    command.finish()
    assert command.journal.read_bytes() == before
