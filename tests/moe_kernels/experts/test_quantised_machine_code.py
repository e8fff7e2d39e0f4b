"""The kernels for quantised weights compiled for GPUs that are not there: on tensor cores, and in little memory."""

from __future__ import annotations

import numpy as np
import pytest
import triton

from moe_kernels.experts import EXPERTS, EXPERTS_DECODE
from workbench.ranking.legality import packed_shared_bytes, shared_bytes
from workbench.ranking.workload import Tiles
from workbench.sweep.stages.compile import compile_candidate
from workbench.trials.trial import Candidate

GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704}
INT4, PER_CHANNEL = {"dtype": "int4_w4a16", "group_size": 16}, {"dtype": "int4_w4a16"}
FP8, NVFP4 = {"dtype": "fp8_w8a8"}, {"dtype": "nvfp4"}
COMPILES = [
    (INT4, 90),
    (FP8, 80),
    (NVFP4, 100),
    *(pytest.param(*each, marks=pytest.mark.long) for each in ((PER_CHANNEL, 120), (FP8, 90), (NVFP4, 90))),
]
# Two words in a loop's prologue, where e4m3 is widened by hand on sm_80.
MOST_SPILLS = 8
has_dot_scaled = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 9)


@pytest.fixture
def compiled(workers):
    def compile_one(kernel, problem, capability, config):
        seen = kernel.of(problem)
        candidate = Candidate({**GEMMA, **problem, "tokens": 64}, seen.complete(config))
        return workers.submit(compile_candidate, kernel.name, candidate, capability).result()

    return compile_one


def products(resources):
    """The launches on tensor cores."""
    return [each for each in resources if each.instructions.get("matrix")]


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "capability"), COMPILES, ids=str)
def test_every_format_compiles_on_tensor_cores_and_hardly_spills(compiled, capability, problem):
    for kernel in (EXPERTS, EXPERTS_DECODE):
        found = products(compiled(kernel, problem, capability, None))
        assert len(found) == 2
        assert max(each.spill_bytes for each in found) <= (MOST_SPILLS if capability == 80 else 0)


@pytest.mark.slow
@pytest.mark.skipif(not has_dot_scaled, reason="this Triton cannot compile a scaled product")
@pytest.mark.parametrize("capability", [100, pytest.param(120, marks=pytest.mark.long)])
@pytest.mark.parametrize("kernel", [EXPERTS, EXPERTS_DECODE], ids=lambda kernel: kernel.name)
def test_the_scaled_product_compiles_where_it_is_not_pruned(compiled, capability, kernel):
    assert kernel.reject_on({"dtype": "nvfp4"}, {"dot_scaled": 1}, capability) is None
    found = products(compiled(kernel, {"dtype": "nvfp4"}, capability, {"dot_scaled": 1}))
    assert len(found) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "stages"),
    [(90, 4), (120, 2), *(pytest.param(*each, marks=pytest.mark.long) for each in ((90, 2), (120, 4)))],
)
def test_packed_weights_are_staged_packed(compiled, capability, stages):
    """What a ranking takes for their shared memory is near what they take, and far from that of 16-bit weights."""
    config = {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 128, "num_stages": stages}
    up = products(compiled(EXPERTS, {"dtype": "int4_w4a16"}, capability, config))[0]
    tiles = Tiles(*np.asarray([16, 64, 128, 1, 4, stages], dtype=np.float64)[:, None])
    assert up.shared_bytes == pytest.approx(packed_shared_bytes(tiles, capability, 2, 0.5)[0], rel=0.1)
    assert stages == 2 or up.shared_bytes < shared_bytes(tiles, capability, 2)[0]
