from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_kernels.formats import Nvfp4
from moe_kernels.formats.e2m1 import MAGNITUDES, decode_e2m1, encode_e2m1, pack_bytes, unpack_bytes
from tests.moe_kernels.formats.theirs import NVFP4_COMPRESSOR, compress_nvfp4, decompress


@st.composite
def weights(draw):
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from((torch.bfloat16, torch.float16, torch.float32)))
    weight = torch.randn(
        draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(st.sampled_from((16, 48, 704)))
    )
    weight[0, 0, :16] = draw(st.sampled_from((0.0, -0.0, 1e-6)))
    return (weight * draw(st.sampled_from((1e-3, 1.0, 50.0)))).to(dtype)


@given(weights())
def test_every_bit_is_what_compressed_tensors_makes_it(weight):
    ours = Nvfp4().quantise(weight)
    Nvfp4().check(ours)
    for expert, matrix in enumerate(weight):
        theirs, scheme = compress_nvfp4(matrix)
        assert torch.equal(ours.values[expert], theirs["weight_packed"])
        assert torch.equal(ours.scales[expert].float(), theirs["weight_scale"].float())
        assert torch.equal(ours.global_scales[expert, 0], theirs["weight_global_scale"])
        found = Nvfp4().dequantise(ours.expert(expert), torch.bfloat16)[0]
        assert torch.equal(found, decompress(NVFP4_COMPRESSOR, theirs, scheme))


def test_weights_of_zeros_stay_zeros():
    held = Nvfp4().quantise(torch.zeros(1, 2, 32))
    assert (held.global_scales.item(), held.format.dequantise(held).abs().max().item()) == (1.0, 0.0)


def test_half_way_values_go_to_the_even_code():
    midways = [(low + high) / 2 for low, high in pairwise(MAGNITUDES)]
    assert encode_e2m1(torch.tensor(midways)).tolist() == [0, 2, 2, 4, 4, 6, 6]


def test_the_low_nibble_comes_first_and_the_sign_is_its_highest_bit():
    codes = encode_e2m1(torch.tensor([0.5, -6.0, 100.0, -0.1]))
    assert pack_bytes(codes).tolist() == [0xF1, 0x87]


@given(st.lists(st.integers(0, 15), max_size=20).filter(lambda codes: len(codes) % 2 == 0))
def test_what_is_packed_comes_back(codes):
    held = torch.tensor(codes, dtype=torch.uint8)
    assert torch.equal(unpack_bytes(pack_bytes(held)), held)
    # A zero loses its sign, since compressed-tensors gives one to what rounds to zero only.
    signed = torch.where(held == 8, 0, held).to(torch.uint8)
    assert torch.equal(encode_e2m1(decode_e2m1(held, torch.float32)), signed)


def test_rows_that_are_no_whole_groups_are_refused():
    with pytest.raises(ValueError, match="weight: groups of 16 do not divide the input size 40; nvfp4 needs"):
        Nvfp4().quantise(torch.zeros(1, 2, 40))
