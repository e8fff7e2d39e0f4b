"""The kernel in Triton's interpreter; test_interpreted runs this file, in a process that has TRITON_INTERPRET=1."""

from __future__ import annotations

import dataclasses
from itertools import product
from secrets import randbelow

import pytest
import torch
from hypothesis import given, settings
from triton import knobs

from moe_kernels.routing import ROUTING, fused_routing
from moe_kernels.routing.tunable import ALGORITHMS, routing_launch
from tests.moe_kernels.routing.cases import configs, routing_cases
from tests.moe_kernels.routing.oracle import assert_routed
from tests.moe_kernels.routing.rows import KINDS, draw
from workbench.sweep.stages.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
WORDS = ("bf16", "fp16", "fp32")


def test_kernels_are_interpreted_here():
    assert knobs.runtime.interpret


@given(routing_cases(max_tokens=4), configs())
@settings(max_examples=40, deadline=None, database=None)
def test_kernel_gives_what_the_oracle_gives(case, config):
    weights, ids = fused_routing(*case, config=config)
    assert_routed(weights, ids, *case)


def special_inputs(problem, device):
    """Rows of every kind in turn from a random one, drawn as `make_inputs` has to: from torch's generator."""
    tokens, num_experts = int(problem["tokens"]), int(problem["num_experts"])
    first = int(torch.randint(len(KINDS), ()))
    kinds = [list(KINDS)[(first + token) % len(KINDS)] for token in range(tokens)]
    dtype = dict(zip(WORDS, (torch.bfloat16, torch.float16, torch.float32), strict=True))[problem["dtype"]]
    seed = int(torch.randint(2**31, ()))
    return {"logits": draw(seed, kinds, num_experts, dtype), "per_expert_scale": torch.randn(num_experts)}


SPECIAL = dataclasses.replace(ROUTING, make_inputs=special_inputs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("dtype", "scale_load", "tokens_per_program"), list(product(WORDS, ("row", "ids"), (1, 2, 4)))
)
def test_sweeps_verification_passes_every_code_path_on_special_rows(
    algorithm, dtype, scale_load, tokens_per_program
):
    problem = {"num_experts": 13, "top_k": 5, "dtype": dtype, "tokens": 5}
    config = {
        "algorithm": algorithm,
        "scale_load": scale_load,
        "tokens_per_program": tokens_per_program,
    }
    assert verify(SPECIAL, problem, config, seeds=[randbelow(2**31)], device="cpu") is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", WORDS)
def test_sweeps_verification_passes_what_a_sweep_verifies(algorithm, dtype):
    problem = {"num_experts": 128, "top_k": 8, "dtype": dtype, "tokens": 13}
    config = ROUTING.complete({"algorithm": algorithm, "tokens_per_program": 4})
    small = ROUTING.interpreter_problem(problem, config)
    assert (small["tokens"] % 4, small["tokens"] > 4) == (1, True)
    assert verify(ROUTING, small, config, seeds=[0], device="cpu") is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("num_experts", "top_k"),
    [(1, 1), (2, 1), (2, 2), (3, 3), (16, 16), (17, 17), (33, 32), (100, 7)],
)
def test_every_algorithm_takes_sizes_at_the_edges(algorithm, dtype, num_experts, top_k):
    logits = draw(num_experts, ["all_specials", "few_values"], num_experts, dtype)
    scale = torch.rand(num_experts) + 0.5
    weights, ids = fused_routing(logits, scale, top_k, config={"algorithm": algorithm})
    assert_routed(weights, ids, logits, scale, top_k)


# The rounds of the last two, beyond those that are unrolled, take the interpreter long.
@pytest.mark.parametrize(
    ("algorithm", "top_k"), [("sort", 1024), ("topk", 1024), ("select", 20), ("two_step", 20)]
)
def test_every_algorithm_takes_1024_experts(algorithm, top_k):
    logits = draw(5, ["all_specials"], 1024, torch.bfloat16)
    scale = torch.rand(1024) + 0.5
    weights, ids = fused_routing(logits, scale, top_k, config={"algorithm": algorithm})
    assert_routed(weights, ids, logits, scale, top_k)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("scale_load", ["row", "ids"])
def test_kernel_writes_its_outputs_and_nothing_beside_them(algorithm, scale_load):
    logits, scale = draw(3, ["normal"] * 5, 6, torch.bfloat16), torch.rand(6)
    weights, ids = torch.full((9, 3), -7.0), torch.full((9, 3), -7, dtype=torch.int32)
    config = ROUTING.complete({"algorithm": algorithm, "tokens_per_program": 4, "scale_load": scale_load})
    routing_launch(logits, scale, weights[2:7], ids[2:7], config).run()
    assert_routed(weights[2:7], ids[2:7], logits, scale, 3)
    for beside in (weights[:2], weights[7:], ids[:2], ids[7:]):
        assert (beside == -7).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_kernel_reads_nothing_beside_its_inputs(algorithm):
    """Whatever lies beside rows and scale would win or spoil: +inf and NaN."""
    wide = torch.full((4, 9), float("inf"))
    wide[:, 2:7] = torch.randn(4, 5)
    wide_scale = torch.full((9,), float("nan"))
    wide_scale[2:7] = torch.rand(5)
    logits, scale = wide[:, 2:7], wide_scale[2:7]
    weights, ids = fused_routing(logits, scale, 2, config={"algorithm": algorithm, "tokens_per_program": 8})
    assert_routed(weights, ids, logits, scale, 2)


def test_infinite_and_nan_scales_stay_with_their_experts():
    scale = torch.tensor([float("nan"), float("inf"), 0.0, 2.0])
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    for scale_load in ("row", "ids"):
        weights, ids = fused_routing(logits, scale, 2, config={"scale_load": scale_load})
        assert ids.tolist() == [[0, 1], [3, 2]]
        assert weights[0, 0].isnan()
        assert weights[0, 1] == float("inf")
        assert weights[1].isfinite().all()
