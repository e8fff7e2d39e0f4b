"""Configs that misbehave in the workers of a sweep: each becomes a row, and costs nobody else anything."""

from __future__ import annotations

import pytest

from tests.faults.command import SweepCommand
from tests.support.patience import with_time_enough

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]
SWEEP = """\
name: faulty
kernel: tests.faults.kernels:FAULTY
device: NVIDIA_B200
problems: {width: 8, tokens: [4]}
space: {fault: [%s], block: [1, 2, 4]}
constraints: ["fault == 'none' or block == 2"]
search: {strategy: random, seed: 3}
verify: {seeds: 1}
"""
# What becomes of each: status, stage, and what its reason says.
EXPECTED = {
    "raises_in_compile": ("compile_error", "compile", "RuntimeError: PassManager::run failed"),
    "raises": ("crashed", "verify", "verifying: IndexError: a fault of its own"),
    "hangs_in_compile": ("timeout", "compile", "compiling: killed after "),
    "hangs": ("timeout", "verify", "verifying: killed after "),
    "aborts_in_compile": ("crashed", "compile", "compiling: the worker process died of SIGABRT"),
    "exhausts_memory": ("out_of_resources", "verify", "verifying: killed holding"),
    "corrupts": ("crashed", "verify", "verifying: RuntimeError: CUDA error: an illegal memory access"),
    "is_killed": ("crashed", "verify", "verifying: the worker process died of SIGKILL, twice"),
}
HANGING = [fault for fault, (status, *_) in EXPECTED.items() if status == "timeout"]
FIT = {"WORKBENCH_WORKER_MEMORY_GIB": "2"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    command = SweepCommand(tmp_path_factory.mktemp("sound") / "sweep", SWEEP % "none", "--jobs", "2", **FIT)
    command.finish()
    return command


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    faults = ", ".join(["none", "corrupts_quietly", *EXPECTED])

    def sweep_within(limit):
        folder = tmp_path_factory.mktemp("faulty") / "sweep"
        command = SweepCommand(folder, SWEEP % faults, "--jobs", "2", "--timeout", f"{limit:g}", **FIT)
        command.run()
        late = {trial["config"]["fault"] for trial in command.trials if trial["status"] == "timeout"}
        return command, late <= set(HANGING)

    return with_time_enough(sweep_within)


@pytest.mark.parametrize("fault", EXPECTED)
def test_a_config_that_misbehaves_is_a_row_with_its_class_and_reason(faulty, fault):
    (row,) = (trial for trial in faulty.trials if trial["config"]["fault"] == fault)
    status, stage, reason = EXPECTED[fault]
    assert (row["status"], row["stage"]) == (status, stage)
    assert row["reason"].startswith(reason)
    assert row["time_us"] is None


def test_the_others_are_evaluated_in_a_healthy_process(faulty):
    sound = [trial for trial in faulty.trials if trial["config"]["fault"] in ("none", "corrupts_quietly")]
    assert [(trial["status"], trial["reason"]) for trial in sound] == [("ok", None)] * 4


def test_the_winners_are_those_of_an_undisturbed_sweep(faulty, undisturbed):
    (found,), (expected,) = faulty.winners.values(), undisturbed.winners.values()
    assert [_without_run(row) for row in found["rows"].values()] == [
        _without_run(row) for row in expected["rows"].values()
    ]


def test_a_config_that_misbehaved_is_not_tried_again(faulty):
    before = faulty.journal.read_bytes()
    assert "trials known" not in faulty.finish().stderr
    assert faulty.journal.read_bytes() == before
    names = [trial["trial"] for trial in faulty.trials]
    assert len(names) == len(set(names)) == len(EXPECTED) + 4


def _without_run(row):
    return {key: value for key, value in row.items() if key != "run"}
