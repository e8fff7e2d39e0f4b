"""Ranks configs for a GPU that is not there, from their compiled code; its microseconds were never timed.

One launch of P blocks runs on S SMs, o blocks resident on each (occupancy). Blocks come in waves, each at least as long
as one block's chain of dependences; and an SM's share of the blocks cannot take less than their instructions need on
its four schedulers:

    alone  = max(critical_cycles, issue_cycles of one warp) + spills
    cycles = max(ceil(P / (o * S)) * alone, ceil(P / S) * (warps * issue_cycles / 4 + spills))
    time   = sum over launches of (LAUNCH_US + cycles / clock), or the time to move the compulsory bytes if longer

What it leaves out: caches, bank conflicts, loops (a body counts once) and anything that only a timing can show. It
says which configs to take to the GPU first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

from moe_kernels.tunable import Traffic
from workbench.devices.device import Device
from workbench.search.strategy import Known
from workbench.sweep.stages.screen import warp_registers
from workbench.trials.trial import Resources

MODEL = "occupancy-1"

# Assumed: between the 0.58 us a CUDA graph node reported in ahrefs/ocannl issue 488 and the 2 us of an empty kernel.
LAUNCH_US = 1.0
SCHEDULERS_PER_SM = 4
# Shared memory that the system keeps for itself in each block, bytes (CUDA C++ Programming Guide).
RESERVED_SHARED_BYTES = 1024
# Shared memory is handed out to a block in units of this many bytes.
SHARED_UNIT = 128
# A spilled word is stored once and loaded once from L1.
SPILL_CYCLES_PER_BYTE = 2 * 30 / 4

# Scheduler cycles a warp's instruction takes, from the results per clock and SM in the CUDA C++ Programming Guide's
# table of arithmetic throughput: 128 results a clock are 1 cycle, 16 are 8. Moves disappear in ptxas.
ISSUE_CYCLES = {
    "move": 0,
    "scalar": 2,
    "wide": 4,
    "special": 8,
    "shuffle": 4,
    "reduce": 8,
    "shared": 4,
    "barrier": 2,
    "matrix": 16,
    "global": 4,
}


@dataclass(frozen=True, slots=True)
class LaunchShape:
    """One compiled launch and the number of blocks in its grid."""

    blocks: int
    resources: Resources

    @classmethod
    def of(cls, grid: Sequence[int], resources: Resources) -> LaunchShape:
        """The shape of a launch over a grid."""
        return cls(prod(grid), resources)


def occupancy(resources: Resources, device: Device) -> int:
    """Blocks of a launch that one SM holds at once, at least 1; NVIDIA's rules for compute capability 8 and up."""
    # Each scheduler has its own quarter of the registers.
    warps = device.registers_per_sm // SCHEDULERS_PER_SM // max(1, warp_registers(resources))
    shared_bytes = -(-(resources.shared_bytes + RESERVED_SHARED_BYTES) // SHARED_UNIT) * SHARED_UNIT
    limits = (
        warps * SCHEDULERS_PER_SM // resources.num_warps,
        device.shared_bytes_per_sm // shared_bytes,
        device.max_warps_per_sm // resources.num_warps,
        device.max_blocks_per_sm,
    )
    return max(1, min(limits))


def modelled_time_us(launches: Sequence[LaunchShape], traffic: Traffic, device: Device) -> float:
    """The model's estimate for one call, microseconds; for ranking configs of one problem, never a measurement."""
    compute_us = sum(_launch_cycles(launch, device) for launch in launches) / (device.clock_ghz * 1e3)
    memory_us = (traffic.bytes_read + traffic.bytes_written) / device.bandwidth_bytes_per_s * 1e6
    return len(launches) * LAUNCH_US + max(compute_us, memory_us)


def _launch_cycles(launch: LaunchShape, device: Device) -> float:
    need = launch.resources
    issue = sum(ISSUE_CYCLES[kind] * count for kind, count in need.instructions.items())
    spills = need.spill_bytes * SPILL_CYCLES_PER_BYTE
    waves = ceil(launch.blocks / (occupancy(need, device) * device.sm_count))
    blocks_per_sm = ceil(launch.blocks / device.sm_count)
    # One warp cannot use more than one scheduler, however empty the SM.
    alone = max(need.critical_cycles, issue) + spills
    return max(waves * alone, blocks_per_sm * (need.num_warps * issue / SCHEDULERS_PER_SM + spills))


def known_launches(launches: Sequence[LaunchShape], traffic: Traffic, device: Device) -> Known:
    """What compiled launches say of a config before it is timed."""
    waves = sum(
        launch.blocks / (occupancy(launch.resources, device) * device.sm_count) for launch in launches
    )
    known = known_resources([launch.resources for launch in launches], device)
    return replace(known, modelled_us=modelled_time_us(launches, traffic, device), waves=waves)


def known_resources(resources: Sequence[Resources], device: Device) -> Known:
    """The same where only the resources of the launches are known, at least one."""
    return Known(
        modelled_us=None,
        registers=max(each.registers for each in resources),
        spill_bytes=max(each.spill_bytes for each in resources),
        shared_bytes=max(each.shared_bytes for each in resources),
        blocks_per_sm=min(occupancy(each, device) for each in resources),
        waves=None,
    )
