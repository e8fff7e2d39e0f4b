"""The kernels for quantised weights in Triton's interpreter; test_interpreted runs this file, as it does the others."""

from __future__ import annotations

import pytest
import torch
import triton
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_kernels.experts import EXPERTS, EXPERTS_BACKEND, EXPERTS_DECODE, fused_experts
from moe_kernels.experts.quantised.rows import QuantisedRows, quantise_launch
from moe_kernels.formats import parse_format, quantise_tokens
from tests.moe_kernels.experts.cases import ROUTINGS, transposed
from tests.moe_kernels.experts.oracle import GATED, UNGATED
from tests.moe_kernels.experts.quantised_cases import SIZES, assert_quantised_mix, draw_quantised
from workbench.sweep.stages.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
ACTIVATIONS = (*GATED, *UNGATED)
WAYS = [
    ("grouped", {"fuse_activation": 0, "BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 32}),
    ("grouped", {"fuse_activation": 1, "BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 32}),
    ("decode", {"down_by": "expert", "BLOCK_SIZE_N": 32, "DOWN_BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 32}),
    ("decode", {"down_by": "token", "BLOCK_SIZE_N": 64, "DOWN_BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 32}),
]
# Each format goes one way with sorting and one without, formats that follow each other not the same.
CASES = [
    (index, (name, way))
    for index, name in enumerate(SIZES)
    for way in (WAYS[index % 2], WAYS[2 + index // 2 % 2])
]
GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "tokens": 64}
has_dot_scaled = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 9)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_format_goes_every_way_as_the_oracle_says(case):
    index, (name, (backend, config)) = case
    torch.manual_seed(index)
    activation = ACTIVATIONS[index % len(ACTIVATIONS)]
    dtype = torch.float16 if index % 3 == 0 else torch.bfloat16
    tensors = draw_quantised(
        name, dtype=dtype, activation=activation, routing="some_foreign" if index % 2 else "distinct"
    )
    out = fused_experts(*tensors, activation=activation, backend=backend, config=config)
    assert_quantised_mix(out, tensors, activation)


@settings(max_examples=3, deadline=None, database=None)
@given(
    name=st.sampled_from(sorted(SIZES)),
    way=st.sampled_from(WAYS),
    shape=st.tuples(st.integers(0, 18), st.integers(1, 3), st.integers(1, 3)),
    routing=st.sampled_from(sorted(ROUTINGS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_tokens_experts_and_routing_give_what_the_oracle_gives_and_the_same_bits_twice(
    name, way, shape, routing, seed
):
    torch.manual_seed(seed)
    backend, config = way
    tensors = draw_quantised(name, *shape, routing=routing)
    out = fused_experts(*tensors, backend=backend, config=config)
    assert_quantised_mix(out, tensors)
    assert torch.equal(fused_experts(*tensors, backend=backend, config=config), out)


@pytest.mark.parametrize("name", ["int4-g24-asym", "nvfp4", "fp8-block"])
def test_strides_are_free_and_change_no_bit(name):
    torch.manual_seed(1)
    hidden, gate_up, down, weights, ids = draw_quantised(name, 2, 2, 1)
    backend, config = WAYS[1]
    out = fused_experts(hidden, gate_up, down, weights, ids, backend=backend, config=config)
    strided = [transposed(each) for each in (hidden, weights, ids)]
    projections = [each.map(transposed) for each in (gate_up, down)]
    moved = (strided[0], *projections, *strided[1:])
    assert torch.equal(fused_experts(*moved, backend=backend, config=config), out)


@pytest.mark.parametrize(("backend", "config"), WAYS[1:3], ids=str)
def test_tokens_that_are_not_finite_stay_by_themselves(backend, config):
    torch.manual_seed(2)
    hidden, gate_up, down, _, _ = draw_quantised("fp8-channel", 3, 2, 1)
    hidden[1, 5], hidden[2, 7] = float("nan"), float("inf")
    weights, ids = torch.ones(3, 1), torch.zeros(3, 1, dtype=torch.int64)
    out = fused_experts(hidden, gate_up, down, weights, ids, backend=backend, config=config)
    assert out[1:].isnan().all()
    assert_quantised_mix(out[:1], (hidden[:1], gate_up, down, weights[:1], ids[:1]))


@pytest.mark.parametrize("name", ["fp8-channel", "fp8-block"])
@pytest.mark.parametrize("size", [1, 128, 300])
def test_rows_are_quantised_as_the_reference_does_bit_by_bit(name, size):
    torch.manual_seed(size)
    weight_format = parse_format(name)
    # Over all of e4m3's range, its subnormal numbers and zeros among them.
    rows = torch.randn(2, size) * 2.0 ** torch.randint(-22, 4, (2, size))
    rows[1, size // 2 :] = 0
    quantised = QuantisedRows.empty(weight_format, 2, size, rows.device)
    quantise_launch(rows, weight_format, quantised).run()
    values, scales = quantise_tokens(rows, weight_format.activation_group)
    assert torch.equal(quantised.scales, scales)
    assert torch.equal(quantised.values, values.view(torch.uint8))


@pytest.mark.parametrize(
    ("kernel", "dtype", "config"),
    [
        (EXPERTS, {"dtype": "int4_w4a16", "group_size": 32}, {"fuse_activation": 1}),
        (EXPERTS, {"dtype": "fp8_w8a8"}, {"fuse_activation": 0}),
        (EXPERTS, {"dtype": "nvfp4"}, {"fuse_activation": 1}),
        (EXPERTS_DECODE, {"dtype": "int4_w4a16"}, {"BLOCK_SIZE_K": 32}),
        (EXPERTS_DECODE, {"dtype": "fp8_w8a8"}, {"down_by": "token", "BLOCK_SIZE_K": 64}),
        (EXPERTS_BACKEND, {"dtype": "nvfp4"}, {}),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_sweeps_verification_passes_quantised_problems(kernel, dtype, config):
    check(kernel, dtype, config)


@pytest.mark.skipif(not has_dot_scaled, reason="this Triton cannot interpret a scaled product")
def test_sweeps_verification_passes_the_scaled_product():
    check(EXPERTS, {"dtype": "nvfp4"}, {"dot_scaled": 1})


def check(kernel, dtype, config):
    problem = {**GEMMA, **dtype}
    seen = kernel.of(problem)
    complete = seen.complete(config)
    # The crossover has no small problem of its own: a sweep verifies what its calls launch.
    grouped = EXPERTS.of(problem)
    small = (
        seen.interpreter_problem(problem, complete)
        if seen.interpreter_problem
        else grouped.interpreter_problem(problem, grouped.default_config)
    )
    assert seen.why_rejected(small, complete) is None
    assert verify(seen, small, complete, seeds=[0], device="cpu") is None
