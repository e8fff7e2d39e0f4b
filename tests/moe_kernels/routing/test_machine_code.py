"""The kernel compiled for GPUs that are not there: it compiles, spills nothing and keeps its lead over a sort."""

from __future__ import annotations

from itertools import product

import pytest

from moe_kernels.routing import ROUTING
from moe_kernels.routing.tunable import ALGORITHMS
from workbench.sweep.stages.compile import compile_candidate
from workbench.trials.trial import Candidate

pytestmark = pytest.mark.slow
CAPABILITIES = [90, 120, *(pytest.param(each, marks=pytest.mark.long) for each in (80, 100))]


@pytest.fixture
def compiled(workers):
    """What each config needs at Gemma 4's E=128, K=8, by (algorithm, dtype)."""

    def compile_all(capability, dtypes, **config):
        problem = {"num_experts": 128, "top_k": 8, "tokens": 64}
        futures = {}
        for algorithm, dtype in product(ALGORITHMS, dtypes):
            complete = ROUTING.complete({"algorithm": algorithm, **config})
            candidate = Candidate({**problem, "dtype": dtype}, complete)
            futures[algorithm, dtype] = workers.submit(compile_candidate, "routing", candidate, capability)
        return {key: future.result()[0] for key, future in futures.items()}

    return compile_all


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_one_warp_a_token_spills_nothing_and_narrow_keys_beat_the_64_bit_sort(compiled, capability):
    resources = compiled(capability, ["bf16", "fp32"], num_warps=1, tokens_per_program=1)
    assert {key: each.spill_bytes for key, each in resources.items() if each.spill_bytes} == {}
    assert {each.num_warps for each in resources.values()} == {1}
    assert all(each.registers < 255 for each in resources.values())
    count = {name: sum(resources[name, "bf16"].instructions.values()) for name in ALGORITHMS}
    assert count["sort"] > 1.5 * count["topk"] > 2 * count["select"] > 100


@pytest.mark.parametrize(
    "config", [{"num_warps": 4, "tokens_per_program": 4}, {"scale_load": "ids"}], ids=str
)
def test_other_configs_compile_too(compiled, config):
    resources = compiled(100, ["fp16"], **config)
    assert {each.num_warps for each in resources.values()} == {config.get("num_warps", 1)}
