"""The kernels in Triton's interpreter; test_interpreted runs this file, in a process that has TRITON_INTERPRET=1."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from triton import knobs

from moe_kernels.experts import EXPERTS, EXPERTS_BACKEND, EXPERTS_DECODE, fused_experts
from moe_kernels.experts.align import align_launch, empty_aligned, most_blocks, reference_align
from tests.moe_kernels.experts.cases import DECODE_CONFIGS, GROUPED_CONFIGS, ROUTINGS, calls, draw_tensors
from tests.moe_kernels.experts.oracle import assert_mixed
from workbench.sweep.stages.verify import poison, verify

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
interpreted = settings(max_examples=12, deadline=None, database=None)
GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "dtype": "bf16"}
VARIANTS = [
    ("grouped", {"fuse_activation": 0, "BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 32}),
    ("grouped", {"fuse_activation": 1, "BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 32}),
    ("decode", {"down_by": "expert", "BLOCK_SIZE_N": 32, "DOWN_BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 32}),
    ("decode", {"down_by": "token", "BLOCK_SIZE_N": 64, "DOWN_BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 64}),
]
every_variant = pytest.mark.parametrize(("backend", "config"), VARIANTS, ids=str)


def test_kernels_are_interpreted_here():
    assert knobs.runtime.interpret


@interpreted
@given(call=calls(), config=GROUPED_CONFIGS)
def test_grouped_product_gives_what_the_oracle_gives(call, config):
    tensors, activation = call
    out = fused_experts(*tensors, activation=activation, backend="grouped", config=config)
    assert_mixed(out, tensors, activation)


@interpreted
@given(call=calls(), config=DECODE_CONFIGS)
def test_path_for_few_tokens_gives_what_the_oracle_gives(call, config):
    tensors, activation = call
    out = fused_experts(*tensors, activation=activation, backend="decode", config=config)
    assert_mixed(out, tensors, activation)


@every_variant
@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_variant_takes_every_kind_of_routing_and_gives_the_same_bits_twice(backend, config, routing):
    torch.manual_seed(len(routing))
    # More slots of one expert than are multiplied at a time, and more than one block of each kind.
    tensors = draw_tensors((17, 2, 2, 40, 35), routing=routing)
    first = fused_experts(*tensors, backend=backend, config=config)
    assert_mixed(first, tensors)
    assert torch.equal(fused_experts(*tensors, backend=backend, config=config), first)


@every_variant
def test_values_that_are_not_finite_stay_with_their_tokens_and_experts(backend, config):
    hidden, gate_up, down, weights, ids = draw_tensors((3, 3, 2, 20, 10))
    hidden[1], gate_up[2] = float("nan"), float("inf")
    ids = torch.tensor([[0, 1], [0, 1], [-1, 1]])
    weights[2, 0] = float("nan")
    out = fused_experts(hidden, gate_up, down, weights, ids, backend=backend, config=config)
    assert out[1].isnan().all()
    clean = [0, 2]
    assert_mixed(out[clean], (hidden[clean], gate_up, down, weights[clean].nan_to_num(), ids[clean]))


@pytest.mark.parametrize("fuse_activation", [0, 1])
@pytest.mark.parametrize("sizes", [(32, 128, 64), (128, 32, 256), (256, 256, 128)], ids=str)
def test_sweeps_verification_passes_what_a_sweep_verifies(fuse_activation, sizes):
    tiles = dict(zip(("BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K"), sizes, strict=True))
    config = EXPERTS.complete({**tiles, "fuse_activation": fuse_activation})
    small = EXPERTS.interpreter_problem({**GEMMA, "tokens": 64}, config)
    assert verify(EXPERTS, small, config, seeds=[0], device="cpu") is None


@pytest.mark.parametrize(
    ("down_by", "columns"), [("expert", 16), ("expert", 64), ("token", 4), ("token", 32)]
)
@pytest.mark.parametrize("tokens", [1, 64])
def test_sweeps_verification_passes_the_path_for_few_tokens(down_by, columns, tokens):
    config = EXPERTS_DECODE.complete({"down_by": down_by, "DOWN_BLOCK_SIZE_N": columns})
    small = EXPERTS_DECODE.interpreter_problem({**GEMMA, "dtype": "fp16", "tokens": tokens}, config)
    assert verify(EXPERTS_DECODE, small, config, seeds=[0], device="cpu") is None


@pytest.mark.parametrize("backend", ["auto", "grouped", "decode"])
def test_sweeps_verification_passes_the_crossover(backend):
    config = EXPERTS_BACKEND.complete({"backend": backend})
    small = EXPERTS.interpreter_problem({**GEMMA, "tokens": 64}, EXPERTS.default_config)
    assert verify(EXPERTS_BACKEND, small, config, seeds=[0], device="cpu") is None


@settings(max_examples=20, deadline=None, database=None)
@given(
    tokens=st.integers(1, 70),
    top_k=st.integers(1, 9),
    experts=st.integers(1, 9),
    block_size=st.sampled_from([16, 32, 128]),
    routing=st.sampled_from(sorted(ROUTINGS)),
    seed=st.integers(0, 2**32 - 1),
    narrow=st.booleans(),
)
def test_slots_are_sorted_as_the_reference_sorts_them(
    tokens, top_k, experts, block_size, routing, seed, narrow
):
    torch.manual_seed(seed)
    ids = ROUTINGS[routing](tokens, experts, top_k)
    ids = ids.clamp(-9, 999).int() if narrow else ids
    assert_aligned(ids, experts, block_size)


def assert_aligned(ids, experts, block_size):
    """What is used equals the reference's; what lies beyond was not touched; the worst case was not exceeded."""
    aligned = empty_aligned(ids.numel(), experts, block_size, ids.device)
    for buffer in aligned:
        poison(buffer)
    untouched = aligned.sorted_slots[:1].clone()
    align_launch(ids.contiguous(), experts, block_size, aligned).run()
    expected = reference_align(ids, experts, block_size)
    used = int(expected.num_blocks)
    assert used <= most_blocks(ids.numel(), experts, block_size)
    assert torch.equal(aligned.num_blocks, expected.num_blocks)
    assert torch.equal(aligned.block_experts[:used], expected.block_experts)
    assert torch.equal(aligned.sorted_slots[: used * block_size], expected.sorted_slots)
    assert (aligned.block_experts[used:] == untouched).all()
    assert (aligned.sorted_slots[used * block_size :] == untouched).all()


def test_many_slots_are_sorted_in_several_chunks():
    torch.manual_seed(3)
    assert_aligned(ROUTINGS["some_foreign"](1300, 5, 8), 5, 64)


@settings(max_examples=120, deadline=None, database=None)
@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=9), block_size=st.sampled_from([1, 2, 16, 32])
)
def test_no_routing_fills_more_blocks_than_there_is_room_for(counts, block_size):
    used = sum(-(-count // block_size) for count in counts)
    assert used <= most_blocks(sum(counts), len(counts), block_size)
