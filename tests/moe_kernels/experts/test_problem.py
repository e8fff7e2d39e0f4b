"""The tunables of the experts as sweeps see them."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_kernels.experts import EXPERTS, EXPERTS_BACKEND, EXPERTS_DECODE
from moe_kernels.experts.problem import compare, draw_routing, expected_experts
from moe_kernels.registry import TUNABLES
from workbench.sweep.stages.compile import meta_launches
from workbench.trials.trial import Candidate

POWERS = st.sampled_from([16, 32, 64, 128, 256])
PROBLEMS = st.fixed_dictionaries(
    {
        "num_experts": st.sampled_from([4, 32, 64, 128, 256]),
        "top_k": st.sampled_from([1, 4, 8]),
        "hidden_size": st.sampled_from([64, 100, 2816, 4096]),
        "intermediate_size": st.sampled_from([24, 176, 352, 704, 768]),
        "dtype": st.sampled_from(["bf16", "fp16"]),
        "tokens": st.sampled_from([1, 3, 16, 24, 64, 4096]),
    }
)
GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "dtype": "bf16"}


def programs(kernel, problem, config):
    return max(prod(launch.grid) for launch in meta_launches(kernel, Candidate(problem, config)))


def test_all_three_are_registered_under_their_names():
    for kernel in (EXPERTS, EXPERTS_DECODE, EXPERTS_BACKEND):
        assert TUNABLES[kernel.name] is kernel
        assert kernel.file_stem({**GEMMA, "tokens": 4}) == "E=128,K=8,H=2816,I=704,dtype=bf16"


def test_the_grouped_product_has_the_parameters_that_engines_tune_and_one_more():
    names = [parameter.name for parameter in EXPERTS.of(GEMMA).parameters]
    blocks = ["BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K", "GROUP_SIZE_M"]
    assert names == [*blocks, "num_warps", "num_stages", "fuse_activation"]


@settings(max_examples=60, deadline=None)
@given(problem=PROBLEMS, m=POWERS, n=POWERS, k=POWERS, fuse=st.sampled_from([0, 1]))
def test_the_small_problem_of_the_grouped_product_stands_for_the_real_one(problem, m, n, k, fuse):
    tiles = {"BLOCK_SIZE_M": m, "BLOCK_SIZE_N": n, "BLOCK_SIZE_K": k, "fuse_activation": fuse}
    assert_small(EXPERTS, problem, EXPERTS.complete(tiles), n)


@settings(max_examples=60, deadline=None)
@given(problem=PROBLEMS, n=POWERS, down=POWERS, k=POWERS, by=st.sampled_from(["expert", "token"]))
def test_the_small_problem_of_the_path_for_few_tokens_stands_for_the_real_one(problem, n, down, k, by):
    config = {"BLOCK_SIZE_N": n, "DOWN_BLOCK_SIZE_N": down, "BLOCK_SIZE_K": k, "down_by": by}
    assert_small(EXPERTS_DECODE, problem, EXPERTS_DECODE.complete(config), min(n, down))


def assert_small(kernel, problem, config, columns):
    small = kernel.interpreter_problem(problem, config)
    assert programs(kernel, small, config) <= 8
    assert all(small[axis] <= problem[axis] for axis in small if axis != "dtype")
    # Where blocks are deep and narrow, as many columns as the depth's remainder takes are too many programs.
    depth = min(config["BLOCK_SIZE_K"], 2 * columns)
    for axis in ("hidden_size", "intermediate_size"):
        assert small[axis] % depth == problem[axis] % depth
    few = [each["tokens"] * each["top_k"] <= each["num_experts"] for each in (small, problem)]
    assert few[0] or not few[1]


@given(
    tokens=st.integers(1, 40), experts=st.integers(1, 20), top_k=st.integers(1, 8), seed=st.integers(0, 99)
)
def test_a_drawn_routing_is_in_range_and_distinct_where_it_can_be(tokens, experts, top_k, seed):
    torch.manual_seed(seed)
    weights, ids = draw_routing(tokens, experts, top_k, torch.device("cpu"))
    assert (weights.shape, ids.shape, ids.dtype) == ((tokens, top_k), (tokens, top_k), torch.int32)
    assert ((ids >= 0) & (ids < experts)).all()
    if top_k <= experts:
        assert all(len(set(row)) == top_k for row in ids.tolist())


def test_as_many_experts_are_expected_as_are_drawn():
    torch.manual_seed(0)
    drawn = [draw_routing(8, 128, 8, torch.device("cpu"))[1].unique().numel() for _ in range(400)]
    assert expected_experts(8, 128, 8) == pytest.approx(sum(drawn) / len(drawn), rel=0.01)
    assert expected_experts(1, 128, 8) == pytest.approx(8)
    assert expected_experts(5, 8, 8) == 8


def test_traffic_of_one_token_is_eight_experts():
    traffic = EXPERTS.traffic({**GEMMA, "tokens": 1})
    assert traffic.bytes_read == pytest.approx(8 * 3 * 704 * 2816 * 2, rel=1e-3)
    assert traffic.flops == 2 * 8 * 3 * 704 * 2816


def test_the_reference_computes_in_float64_from_the_inputs_as_they_are():
    torch.manual_seed(0)
    problem = {**GEMMA, "hidden_size": 32, "intermediate_size": 16, "num_experts": 3, "top_k": 2, "tokens": 4}
    inputs = EXPERTS.make_inputs(problem, torch.device("cpu"))
    hidden, gate_up, down, weights, ids = (
        inputs[name].double().numpy() for name in ("hidden", "gate_up", "down", "weights", "ids")
    )
    wanted = np.zeros((4, 32))
    for token, slot in product(range(4), range(2)):
        expert = int(ids[token, slot])
        gate, up = np.split(gate_up[expert] @ hidden[token], 2)
        gelu = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        wanted[token] += weights[token, slot] * (down[expert] @ (gelu * up))
    found = EXPERTS.reference(inputs, problem)["out"]
    assert found.dtype is torch.float64
    # Far below what fp32 could reach.
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-13)


def test_comparison_passes_rounding_and_catches_a_missing_block():
    torch.manual_seed(0)
    problem = {**GEMMA, "hidden_size": 256, "num_experts": 4, "top_k": 2, "tokens": 16}
    inputs = EXPERTS.make_inputs(problem, torch.device("cpu"))
    expected = EXPERTS.reference(inputs, problem)
    assert compare({"out": expected["out"].bfloat16()}, expected, problem) is None
    # The last 64 of 704 values of an expert's inner layer left out.
    inputs["down"][..., 640:] = 0
    wrong = {"out": EXPERTS.reference(inputs, problem)["out"].bfloat16()}
    assert "differ from the reference" in compare(wrong, expected, problem)
    assert compare({"out": torch.full_like(expected["out"], float("nan"))}, expected, problem)


@pytest.mark.parametrize(
    ("kernel", "config", "says"),
    [
        (EXPERTS, {"BLOCK_SIZE_K": 8}, "BLOCK_SIZE_K=8 is no power of two from 16 to 512"),
        (EXPERTS, {"GROUP_SIZE_M": 0}, "GROUP_SIZE_M=0 is not 1 to 1024"),
        (EXPERTS_DECODE, {"DOWN_BLOCK_SIZE_N": 4}, "DOWN_BLOCK_SIZE_N=4 is less than 16 with down_by=expert"),
        (EXPERTS_DECODE, {"down_by": "row"}, "down_by='row' is not one of expert, token"),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_config_that_cannot_be_taken_is_rejected_with_a_reason(kernel, config, says):
    assert kernel.why_rejected({**GEMMA, "tokens": 4}, kernel.complete(config)) == says


def test_fp32_is_no_problem_of_the_kernels():
    for kernel in (EXPERTS, EXPERTS_DECODE, EXPERTS_BACKEND):
        problem = {**GEMMA, "dtype": "fp32", "tokens": 4}
        assert kernel.why_rejected(problem, kernel.default_config) == (
            "dtype=fp32 is not one of bf16, fp16, int4_w4a16, fp8_w8a8, nvfp4"
        )
