from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_kernels.tunable import Traffic
from workbench.devices import find_device
from workbench.sweep.stages.ptx import LATENCY_CYCLES
from workbench.sweep.stages.time_model import (
    LAUNCH_US,
    LaunchShape,
    in_flight_share,
    modelled_time_us,
    occupancy,
)
from workbench.trials.trial import Resources

H100, RTX = find_device("h100"), find_device("rtx5090")
NOTHING = Traffic(0, 0, 0)


def resources(**needs):
    fields = {
        "registers": 32,
        "spill_bytes": 0,
        "shared_bytes": 0,
        "num_warps": 1,
        "instructions": {"scalar": 100},
        "critical_cycles": 500,
    }
    return Resources(**{**fields, **needs})


def time_us(blocks=1, device=H100, traffic=NOTHING, **needs):
    return modelled_time_us([LaunchShape(blocks, resources(**needs))], traffic, device)


# By hand, from the CUDA C++ Programming Guide's limits: 65,536 registers and 64 (sm_120: 48) warps an SM, 32 (24)
# blocks, 233,472 (102,400) bytes of shared memory, 1,024 of them kept by the system in each block.
@pytest.mark.parametrize(
    "device, needs, blocks",
    [
        # 8 warps: 64 / 8.
        (H100, {"num_warps": 8}, 8),
        (RTX, {"num_warps": 8}, 6),
        # One warp: the limit on blocks comes first.
        (H100, {"num_warps": 1}, 32),
        (RTX, {"num_warps": 1}, 24),
        # 128 registers are 4,096 a warp: 16 warps.
        (H100, {"num_warps": 4, "registers": 128}, 4),
        # 255 registers are 8,192 a warp: 8 warps.
        (H100, {"num_warps": 4, "registers": 255}, 2),
        (H100, {"num_warps": 8, "registers": 255}, 1),
        # 80 registers are 2,560 a warp: 6 in each quarter of 16,384, so 24 in all, though 25.6 fit 65,536.
        (H100, {"num_warps": 1, "registers": 80}, 24),
        (H100, {"num_warps": 2, "registers": 168}, 6),
        # 48 KiB and the system's one: 4 times 50,176 of 233,472, 2 times of 102,400.
        (H100, {"num_warps": 4, "shared_bytes": 49_152}, 4),
        (RTX, {"num_warps": 4, "shared_bytes": 49_152}, 2),
        # The most that a block may have leaves room for no other.
        (H100, {"num_warps": 4, "shared_bytes": 232_448}, 1),
        (RTX, {"num_warps": 4, "shared_bytes": 101_376}, 1),
        # 8,193 bytes are rounded up to 128: 9,344 with the system's, so 24 where 25 times 9,217 would fit.
        (H100, {"num_warps": 1, "shared_bytes": 8_193}, 24),
    ],
)
def test_occupancy_is_what_nvidias_rules_give(device, needs, blocks):
    assert occupancy(resources(**needs), device) == blocks


def test_an_empty_launch_costs_what_a_launch_costs():
    assert time_us(instructions={}, critical_cycles=0) == LAUNCH_US


def test_one_block_takes_its_longest_chain_of_dependences():
    expected = LAUNCH_US + 5000 / (H100.clock_ghz * 1e3)
    assert time_us(critical_cycles=5000) == pytest.approx(expected)


def test_compulsory_bytes_bound_the_time_from_below():
    traffic = Traffic(bytes_read=10**9, bytes_written=10**9, flops=0)
    assert time_us(traffic=traffic) == pytest.approx(LAUNCH_US + 2e9 / H100.bandwidth_bytes_per_s * 1e6)


def test_two_launches_cost_two_launches():
    shape = LaunchShape.of((2, 3, 4), resources())
    assert shape.blocks == 24
    twice = modelled_time_us([shape, shape], NOTHING, H100)
    assert twice == pytest.approx(2 * modelled_time_us([shape], NOTHING, H100))


# By hand: 132 SMs, 650 ns and 3.35 TB/s need 2,177,500 bytes in flight.
NEEDED = 2_177_500


def streaming(in_flight_bytes, blocks=132, trips=100):
    shape = resources(in_flight_bytes=in_flight_bytes, streamed_bytes=trips * in_flight_bytes, num_warps=4)
    return LaunchShape(blocks, shape)


def test_few_bytes_in_flight_wait_for_memorys_latency():
    launch = streaming(1024)
    # One kilobyte a block every 650 ns, a hundred times.
    assert modelled_time_us([launch], NOTHING, H100) == pytest.approx(LAUNCH_US + 100 * 0.65)
    assert in_flight_share([launch], H100) == pytest.approx(132 * 1024 / NEEDED)


def test_enough_bytes_in_flight_take_the_bandwidth():
    launch = streaming(32_768)
    streamed = 132 * 100 * 32_768
    expected = LAUNCH_US + streamed / H100.bandwidth_bytes_per_s * 1e6
    assert modelled_time_us([launch], NOTHING, H100) == pytest.approx(expected)
    assert in_flight_share([launch], H100) == 1.0


def test_a_launch_that_streams_little_needs_no_more_than_that_in_flight():
    assert in_flight_share([streaming(1024, blocks=1, trips=1)], H100) == 1.0


def test_the_launch_that_keeps_least_in_flight_decides():
    launches = [streaming(32_768), streaming(1024), LaunchShape(1, resources())]
    assert in_flight_share(launches, H100) == pytest.approx(132 * 1024 / NEEDED)


def test_of_a_call_that_streams_nothing_there_is_no_share():
    assert in_flight_share([LaunchShape(1, resources(streamed_bytes=0, in_flight_bytes=0))], H100) is None


def test_blocks_that_do_not_fit_at_once_keep_nothing_in_flight_yet():
    # 4 warps of 128 registers: 4 blocks an SM.
    few = resources(in_flight_bytes=64, streamed_bytes=6400, num_warps=4, registers=128)
    share = in_flight_share([LaunchShape(100_000, few)], H100)
    assert share == pytest.approx(4 * 132 * 64 / NEEDED)


def test_where_trips_are_unknown_so_is_the_time():
    unknown = LaunchShape(8, resources(instructions=None, critical_cycles=None))
    assert modelled_time_us([LaunchShape(8, resources()), unknown], NOTHING, H100) is None


SHAPES = st.fixed_dictionaries(
    {
        "registers": st.integers(16, 255),
        "spill_bytes": st.integers(0, 512),
        "shared_bytes": st.integers(0, 100_000),
        "num_warps": st.sampled_from([1, 2, 4, 8]),
        "critical_cycles": st.integers(0, 20_000),
        "instructions": st.dictionaries(st.sampled_from(sorted(LATENCY_CYCLES)), st.integers(0, 2_000)),
    }
)
BLOCKS = st.integers(1, 100_000)
MORE = st.integers(1, 5_000)


@given(SHAPES, BLOCKS, MORE)
def test_more_spills_never_are_faster(needs, blocks, more):
    worse = {**needs, "spill_bytes": needs["spill_bytes"] + more}
    assert time_us(blocks, **worse) > time_us(blocks, **needs)


@given(SHAPES, BLOCKS, MORE)
def test_more_blocks_never_are_faster(needs, blocks, more):
    assert time_us(blocks + more, **needs) >= time_us(blocks, **needs)


@given(SHAPES, BLOCKS, st.integers(1, H100.sm_count - 1))
def test_fewer_sms_never_are_faster(needs, blocks, sm_count):
    smaller = dataclasses.replace(H100, sm_count=sm_count)
    assert time_us(blocks, smaller, **needs) >= time_us(blocks, **needs)


@given(SHAPES, BLOCKS, MORE)
def test_a_longer_chain_never_is_faster(needs, blocks, more):
    worse = {**needs, "critical_cycles": needs["critical_cycles"] + more}
    assert time_us(blocks, **worse) >= time_us(blocks, **needs)


@given(SHAPES, BLOCKS, st.sampled_from(sorted(LATENCY_CYCLES)), MORE)
def test_more_instructions_never_are_faster(needs, blocks, kind, more):
    counts = needs["instructions"]
    worse = {**needs, "instructions": {**counts, kind: counts.get(kind, 0) + more}}
    assert time_us(blocks, **worse) >= time_us(blocks, **needs)


@given(SHAPES, BLOCKS, st.floats(0.5, 0.99))
def test_a_slower_clock_never_is_faster(needs, blocks, share):
    slower = dataclasses.replace(H100, clock_ghz=H100.clock_ghz * share)
    assert time_us(blocks, slower, **needs) >= time_us(blocks, **needs)


@given(SHAPES, BLOCKS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_bytes_never_are_faster(needs, blocks, bytes_read, more):
    few, many = (Traffic(count, 0, 0) for count in (bytes_read, bytes_read + more))
    assert time_us(blocks, traffic=many, **needs) >= time_us(blocks, traffic=few, **needs)


@given(SHAPES, st.integers(1, 255), st.integers(0, 100_000))
def test_more_needs_never_raise_occupancy(needs, registers, shared_bytes):
    greedier = {
        **needs,
        "registers": max(needs["registers"], registers),
        "shared_bytes": needs["shared_bytes"] + shared_bytes,
    }
    assert 1 <= occupancy(resources(**greedier), H100) <= occupancy(resources(**needs), H100)
