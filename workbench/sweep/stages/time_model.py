"""Ranks configs for a GPU that is not there, from their compiled code; its microseconds were never timed.

One launch of P blocks runs on S SMs, o blocks resident on each (occupancy). Blocks come in waves, each at least as long
as one block's chain of dependences; an SM's share of the blocks cannot take less than their instructions need on its
four schedulers; and memory delivers no more than what is under way divided by its latency (Little's law), nor more than
its bandwidth:

    alone   = max(critical_cycles, issue_cycles of one warp) + spills
    cycles  = max(ceil(P / (o * S)) * alone, ceil(P / S) * (warps * issue_cycles / 4 + spills))
    kept    = min(P, o * S) * in_flight_bytes
    stream  = P * streamed_bytes / min(bandwidth, kept / latency)
    time    = sum over launches of (LAUNCH_US + max(cycles / clock, stream)), or the compulsory bytes' if longer

A loop's body counts as often as it runs. Where the data decide that and the kernel does not say what to expect, the
time is unknown. What the model leaves out: caches, bank conflicts and anything that only a timing can show. It says
which configs to take to the GPU first.
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

MODEL = "occupancy-2"

# A config that keeps less of the bytes in flight that full bandwidth needs is not offered in the default's place.
LEAST_IN_FLIGHT_SHARE = 0.5


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
    "copy": 4,
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


def modelled_time_us(launches: Sequence[LaunchShape], traffic: Traffic, device: Device) -> float | None:
    """The model's estimate for one call, microseconds; for ranking configs of one problem, never a measurement.

    Returns:
        None where it is not known how often a loop runs.
    """
    times = [_launch_us(launch, device) for launch in launches]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    memory_us = (traffic.bytes_read + traffic.bytes_written) / device.bandwidth_bytes_per_s * 1e6
    return len(launches) * LAUNCH_US + max(sum(known), memory_us)


def in_flight_share(launches: Sequence[LaunchShape], device: Device) -> float | None:
    """The bytes that a call keeps in flight, over what full bandwidth needs; of its launches, the least.

    A launch needs bandwidth times latency in flight, or all that it streams where that is less.

    Returns:
        At most 1; None where nothing is streamed or nothing is known of it.
    """
    shares = [_in_flight_share(launch, device) for launch in launches if launch.resources.streamed_bytes]
    return min(shares, default=None)


def _in_flight_share(launch: LaunchShape, device: Device) -> float:
    needed = min(device.bandwidth_bytes_per_s * device.memory_latency_s, _streamed_bytes(launch))
    return min(1.0, _kept_bytes(launch, device) / needed)


def _launch_us(launch: LaunchShape, device: Device) -> float | None:
    need = launch.resources
    if need.instructions is None or need.critical_cycles is None:
        return None
    issue = sum(ISSUE_CYCLES[kind] * count for kind, count in need.instructions.items())
    spills = need.spill_bytes * SPILL_CYCLES_PER_BYTE
    waves = ceil(launch.blocks / (occupancy(need, device) * device.sm_count))
    blocks_per_sm = ceil(launch.blocks / device.sm_count)
    # One warp cannot use more than one scheduler, however empty the SM.
    alone = max(need.critical_cycles, issue) + spills
    cycles = max(waves * alone, blocks_per_sm * (need.num_warps * issue / SCHEDULERS_PER_SM + spills))
    return max(cycles / (device.clock_ghz * 1e3), _stream_us(launch, device))


def _stream_us(launch: LaunchShape, device: Device) -> float:
    kept = _kept_bytes(launch, device)
    if not kept:
        return 0.0
    rate = min(device.bandwidth_bytes_per_s, kept / device.memory_latency_s)
    return _streamed_bytes(launch) / rate * 1e6


def _streamed_bytes(launch: LaunchShape) -> int:
    return launch.blocks * (launch.resources.streamed_bytes or 0)


def _kept_bytes(launch: LaunchShape, device: Device) -> int:
    """What all blocks that are resident together keep in flight."""
    resident = min(launch.blocks, occupancy(launch.resources, device) * device.sm_count)
    return min(resident * (launch.resources.in_flight_bytes or 0), _streamed_bytes(launch))


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
