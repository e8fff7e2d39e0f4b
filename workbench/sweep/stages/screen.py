"""Screens out what cannot launch on a device, by exact resource needs from the compiled code."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.devices.device import Device
from workbench.trials.trial import Resources

THREADS_PER_WARP = 32
MAX_THREADS_PER_BLOCK = 1024
# Registers are handed out to a warp in units of this many (CUDA C++ Programming Guide, technical specifications).
REGISTER_UNIT = 256


def why_unlaunchable(resources: Sequence[Resources], device: Device) -> str | None:
    """Says which need of which launch exceeds which limit of the device, or None where all launches fit."""
    for launch in resources:
        needs = (
            ("bytes of shared memory a block", launch.shared_bytes, device.shared_bytes_per_block),
            ("threads a block", launch.num_warps * THREADS_PER_WARP, MAX_THREADS_PER_BLOCK),
            ("registers a block", block_registers(launch), device.registers_per_sm),
        )
        for what, needed, allowed in needs:
            if needed > allowed:
                return f"needs {needed:,} {what}, {device.slug} allows {allowed:,}"
    return None


def block_registers(launch: Resources) -> int:
    """Registers that one block occupies."""
    return warp_registers(launch) * launch.num_warps


def warp_registers(launch: Resources) -> int:
    """Registers that one warp occupies, rounded up to the unit in which it gets them."""
    return -(-launch.registers * THREADS_PER_WARP // REGISTER_UNIT) * REGISTER_UNIT
