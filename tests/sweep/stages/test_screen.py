from __future__ import annotations

import dataclasses

import pytest

from workbench.devices import find_device
from workbench.sweep.stages.screen import block_registers, why_unlaunchable
from workbench.trials.trial import Resources

SMALL = Resources(
    registers=32, spill_bytes=0, shared_bytes=0, num_warps=4, instructions={}, critical_cycles=1
)


def changed(**needs):
    return dataclasses.replace(SMALL, **needs)


@pytest.mark.parametrize(
    "device, most",
    [("b200", 232_448), ("rtx5090", 101_376), ("h200", 232_448), ("a100", 166_912), ("rtx4090", 101_376)],
)
def test_a_block_may_have_the_shared_memory_that_the_device_allows_and_no_byte_more(device, most):
    device = find_device(device)
    assert why_unlaunchable([changed(shared_bytes=most)], device) is None
    reason = why_unlaunchable([changed(shared_bytes=most + 1)], device)
    told = f"needs {most + 1:,} bytes of shared memory a block, {device.slug} allows {most:,}"
    assert reason == told


def test_a_block_has_at_most_1024_threads():
    device = find_device("b200")
    assert why_unlaunchable([changed(num_warps=32)], device) is None
    assert why_unlaunchable([changed(num_warps=64)], device).startswith("needs 2,048 threads a block")


def test_a_block_has_at_most_the_registers_of_an_sm():
    device = find_device("b200")
    assert why_unlaunchable([changed(num_warps=32, registers=64)], device) is None
    reason = why_unlaunchable([changed(num_warps=32, registers=65)], device)
    assert reason == "needs 73,728 registers a block, NVIDIA_B200 allows 65,536"


@pytest.mark.parametrize("registers, a_warp", [(1, 256), (8, 256), (9, 512), (32, 1024), (255, 8192)])
def test_registers_are_handed_out_to_a_warp_256_at_a_time(registers, a_warp):
    assert block_registers(changed(registers=registers, num_warps=2)) == 2 * a_warp


def test_one_launch_of_several_that_does_not_fit_is_enough():
    reason = why_unlaunchable([SMALL, changed(shared_bytes=300_000), SMALL], find_device("b200"))
    assert "300,000" in reason
