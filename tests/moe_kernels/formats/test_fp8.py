from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_kernels.formats import Fp8
from tests.moe_kernels.formats.theirs import FP8_COMPRESSOR, compress_fp8, decompress

SIZES = st.sampled_from((1, 7, 64, 127, 128, 129, 200, 300))


@st.composite
def cases(draw):
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from((torch.bfloat16, torch.float16, torch.float32)))
    weight = torch.randn(draw(st.integers(1, 2)), draw(SIZES), draw(SIZES)).to(dtype)
    weight[0, 0] = 0
    return Fp8(draw(st.sampled_from(("tensor", "channel", "block")))), weight


@given(cases())
def test_every_bit_is_what_compressed_tensors_makes_it(case):
    weight_format, weight = case
    ours = weight_format.quantise(weight)
    weight_format.check(ours)
    for expert, matrix in enumerate(weight):
        theirs, scheme = compress_fp8(matrix, weight_format)
        assert torch.equal(ours.values[expert].view(torch.uint8), theirs["weight"].view(torch.uint8))
        assert torch.equal(ours.scales[expert].flatten(), theirs["weight_scale"].float().flatten())
        found = weight_format.dequantise(ours.expert(expert), weight.dtype)[0]
        assert torch.equal(found, decompress(FP8_COMPRESSOR, theirs, scheme))


def test_blocks_of_fewer_rows_keep_the_scales_of_two_joined_projections():
    gate, up = torch.randn(2, 1, 192, 200)
    whole = [Fp8("block").quantise(half) for half in (gate, up)]
    # 192 rows are a block and a half: 64 divides both.
    scales = [held.scales.repeat_interleave(2, 1)[:, :3] for held in whole]
    joined = Fp8("block", 64).empty(1, 384, 200)
    joined.values.copy_(torch.cat([held.values for held in whole], 1))
    joined.scales.copy_(torch.cat(scales, 1))
    joined.format.check(joined)
    expected = torch.cat([Fp8("block").dequantise(held) for held in whole], 1)
    assert torch.equal(joined.format.dequantise(joined), expected)


@pytest.mark.parametrize(("scales", "rows"), [("row", 128), ("channel", 64), ("block", 96), ("block", 256)])
def test_what_shares_a_scale_must_be_one_of_the_known(scales, rows):
    with pytest.raises(ValueError, match=r"(scales|block_rows): must be "):
        Fp8(scales, rows)
