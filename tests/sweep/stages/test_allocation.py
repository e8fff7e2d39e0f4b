from __future__ import annotations

import random

import pytest

from moe_kernels.registry import TUNABLES
from workbench.devices import find_device
from workbench.ranking.grid import GRID
from workbench.ranking.legality import BARRIER_BYTES, shared_bytes_of
from workbench.ranking.workload import PARAMETERS
from workbench.sweep.priors import is_proven, why_too_large
from workbench.sweep.stages.allocation import allocated_bytes
from workbench.sweep.stages.compile import compile_candidate
from workbench.trials.trial import Candidate

EXPERTS = TUNABLES["experts"]
PROBLEM = {
    "num_experts": 128,
    "top_k": 8,
    "hidden_size": 2816,
    "intermediate_size": 704,
    "dtype": "bf16",
    "tokens": 64,
}


@pytest.fixture(autouse=True)
def target_put_back():
    from triton.runtime import driver

    before = driver._active
    yield
    driver._active = before


def beside_the_limit(device, source):
    """A config of the grid that just fits by the closed form, and one that just does not; either of many alike."""

    def needed(row):
        return shared_bytes_of(dict(zip(PARAMETERS, row, strict=True)), device.compute_capability, 2)

    limit = device.shared_bytes_per_block
    inside, outside = (
        max(size for size in map(needed, GRID) if size <= limit),
        min(size for size in map(needed, GRID) if size > limit),
    )
    for size in (inside, outside):
        row = source.choice([row for row in GRID if needed(row) == size])
        yield EXPERTS.complete(
            {**dict(zip(PARAMETERS, row, strict=True)), "fuse_activation": source.choice((0, 1))}
        )


@pytest.mark.parametrize("name", ["h200", "b200", "rtx5090"])
def test_beside_the_limit_what_is_pruned_is_what_asks_for_too_much(name):
    device = find_device(name)
    verdicts = set()
    for config in beside_the_limit(device, random.Random(name)):
        needed = allocated_bytes(EXPERTS, Candidate(PROBLEM, config), device.compute_capability)
        closed = shared_bytes_of(config, device.compute_capability, 2)
        assert is_proven(PROBLEM, device, config)
        assert closed <= needed <= closed + BARRIER_BYTES
        pruned = why_too_large(PROBLEM, device, config) is not None
        assert pruned == (needed > device.shared_bytes_per_block)
        verdicts.add(pruned)
    assert verdicts == {True, False}


def test_machine_code_asks_for_what_was_allocated_and_is_whole_afterwards():
    config = EXPERTS.complete({"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 32, "num_stages": 3})
    candidate = Candidate(PROBLEM, config)
    allocated = allocated_bytes(EXPERTS, candidate, 100)
    launches = compile_candidate("experts", candidate, 100)
    assert max(each.shared_bytes for each in launches) == allocated
    assert all(each.registers > 0 for each in launches)


def test_rows_that_are_loaded_element_by_element_are_left_to_the_compile():
    odd = {**PROBLEM, "hidden_size": 2820, "intermediate_size": 708}
    config = EXPERTS.complete({"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 256, "BLOCK_SIZE_K": 128, "num_stages": 5})
    rtx = find_device("rtx5090")
    assert shared_bytes_of(config, 120, 2) > rtx.shared_bytes_per_block
    assert allocated_bytes(EXPERTS, Candidate(odd, config), 120) <= rtx.shared_bytes_per_block
    assert why_too_large(odd, rtx, config) is None
    assert why_too_large(PROBLEM, rtx, config)


@pytest.mark.parametrize("change", [{"num_stages": 1}, {"BLOCK_SIZE_K": 512}, {"num_warps": 16}])
def test_outside_the_grid_nothing_is_proven(change):
    needy = EXPERTS.complete(
        {"BLOCK_SIZE_M": 256, "BLOCK_SIZE_N": 256, "BLOCK_SIZE_K": 256, "num_stages": 5, **change}
    )
    assert not is_proven(PROBLEM, find_device("b200"), needy)
