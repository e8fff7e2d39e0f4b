"""The kernels compiled for GPUs that are not there: pipelined, on tensor cores, without spills, in known memory."""

from __future__ import annotations

import pytest

from moe_kernels.experts import EXPERTS, EXPERTS_DECODE
from workbench.sweep.stages.compile import compile_candidate
from workbench.trials.trial import Candidate

CAPABILITIES = [90, *(pytest.param(each, marks=pytest.mark.long) for each in (100, 120))]
GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "dtype": "bf16"}
GATE_UP, DOWN = 1, -2
VARIANTS = [
    ((16, 64, 128, 4), 4, 0),
    ((16, 64, 128, 4), 2, 1),
    ((64, 64, 64, 4), 2, 0),
    ((64, 64, 64, 4), 4, 1),
]


@pytest.fixture
def compiled(workers):
    def compile_one(kernel, capability, tokens, config):
        candidate = Candidate({**GEMMA, "tokens": tokens}, kernel.complete(config))
        return workers.submit(compile_candidate, kernel.name, candidate, capability).result()

    return compile_one


def tiles(m, n, k, warps, stages, fuse=0):
    names = ("BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K", "num_warps", "num_stages", "fuse_activation")
    return dict(zip(names, (m, n, k, warps, stages, fuse), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("shape", "stages", "fuse"), VARIANTS, ids=str)
def test_shared_memory_is_stages_of_tiles_and_fusing_costs_none(compiled, capability, shape, stages, fuse):
    """Matrix units that read shared memory (wgmma and tcgen05, from 64 rows on) hold one more stage there."""
    m, n, k, _ = shape
    resources = compiled(EXPERTS, capability, 64, tiles(*shape, stages, fuse))
    reads_shared = m >= 64 and capability in (90, 100)
    expected = (stages if reads_shared else stages - 1) * (m + n) * k * 2
    for which in (GATE_UP, DOWN):
        # tcgen05 keeps up to 16 bytes beside the tiles.
        assert 0 <= resources[which].shared_bytes - expected <= 16
        assert resources[which].spill_bytes == 0
        assert resources[which].instructions["matrix"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_path_for_few_tokens_is_pipelined_and_spills_nothing(compiled, capability):
    def shared(stages, down_by):
        config = {"num_stages": stages, "down_by": down_by}
        resources = compiled(EXPERTS_DECODE, capability, 64, config)
        assert [each.spill_bytes for each in resources] == [0] * len(resources)
        assert resources[0].instructions["matrix"] > 0
        return [each.shared_bytes for each in resources[:2]]

    for down_by in ("expert", "token"):
        shallow, deep = shared(2, down_by), shared(4, down_by)
        assert all(few < many for few, many in zip(shallow, deep, strict=True))


@pytest.mark.slow
def test_code_does_not_depend_on_the_number_of_tokens(compiled):
    config = tiles(16, 32, 64, 4, 3)
    few, many = compiled(EXPERTS, 90, 24, config), compiled(EXPERTS, 90, 65, config)
    # How often a loop runs follows from the tokens; what the code takes does not.
    taken = ("registers", "spill_bytes", "shared_bytes", "num_warps")
    for one, other in zip(few, many, strict=True):
        assert [getattr(one, name) for name in taken] == [getattr(other, name) for name in taken]
