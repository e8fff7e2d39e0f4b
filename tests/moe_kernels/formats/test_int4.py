from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_kernels.formats import Int4
from moe_kernels.formats.nibbles import pack_int4, unpack_int4
from tests.moe_kernels.formats.theirs import INT4_COMPRESSOR, compress_int4, decompress

GROUPS = {None: (1, 13, 32, 704), 8: (24,), 16: (16, 48), 32: (64,), 64: (704,), 128: (128, 256)}


@st.composite
def cases(draw):
    group = draw(st.sampled_from(list(GROUPS)))
    columns = draw(st.sampled_from(GROUPS[group]))
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from((torch.bfloat16, torch.float16, torch.float32)))
    weight = torch.randn(draw(st.integers(1, 3)), draw(st.integers(1, 20)), columns).to(dtype)
    # A group of zeros and one of a single sign are where ranges go wrong.
    weight[0, 0] = 0
    weight[-1, -1] = weight[-1, -1].abs()
    return Int4(group, symmetric=draw(st.booleans())), weight


@given(cases())
def test_every_bit_is_what_compressed_tensors_makes_it(case):
    weight_format, weight = case
    ours = weight_format.quantise(weight)
    weight_format.check(ours)
    assert ours.shape == weight.shape
    for expert, matrix in enumerate(weight):
        theirs, _ = compress_int4(matrix, weight_format)
        assert torch.equal(ours.values[expert], theirs["weight_packed"])
        assert torch.equal(ours.scales[expert], theirs["weight_scale"])
        assert (ours.zero_points is None) == ("weight_zero_point" not in theirs)
        if ours.zero_points is not None:
            assert torch.equal(ours.zero_points[expert], theirs["weight_zero_point"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("weight_format", "columns"),
    [(Int4(32), 64), (Int4(32, False), 96), (Int4(None), 13), (Int4(16, False), 48)],
)
def test_dequantised_weights_are_theirs(weight_format, columns, dtype):
    weight = torch.randn(2, 19, columns, generator=torch.Generator().manual_seed(1)).to(dtype)
    ours = weight_format.dequantise(weight_format.quantise(weight), dtype)
    for matrix, found in zip(weight, ours, strict=True):
        assert torch.equal(found, decompress(INT4_COMPRESSOR, *compress_int4(matrix, weight_format)))


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_error_is_at_most_the_step_of_its_group(symmetric):
    weight = torch.randn(2, 16, 96, generator=torch.Generator().manual_seed(2))
    held = Int4(32, symmetric).quantise(weight)
    error = (held.format.dequantise(held) - weight).abs().unflatten(-1, (3, 32))
    assert (error <= 0.501 * held.scales.unsqueeze(-1) * (1 if not symmetric else 1.001)).all()


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_what_is_packed_comes_back(columns, seed, rows):
    values = torch.randint(-8, 8, (rows, columns), generator=torch.Generator().manual_seed(seed)).to(
        torch.int8
    )
    packed = pack_int4(values)
    assert (packed.dtype, packed.shape) == (torch.int32, (rows, -(-columns // 8)))
    assert torch.equal(unpack_int4(packed, columns), values)


def test_the_first_value_is_in_the_lowest_bits_and_zero_is_stored_as_eight():
    assert pack_int4(torch.tensor([[-8, -7, 0, 7, 0, 0, 0, 0]])).item() == 0x8888F810 - 2**32


def test_in_float64_the_weights_are_exact():
    held = Int4(32, False).quantise(torch.randn(1, 9, 64))
    values = unpack_int4(held.values, 64).double().unflatten(-1, (2, 32))
    zeros = unpack_int4(held.zero_points.mT, 9).mT.double()
    expected = ((values - zeros.unsqueeze(-1)) * held.scales.double().unsqueeze(-1)).flatten(-2)
    assert torch.equal(held.format.dequantise(held, torch.float64), expected)


@pytest.mark.parametrize("group", [0, -8, 12, 32.0, True, "32"])
def test_a_group_that_words_cannot_hold_is_refused(group):
    with pytest.raises(ValueError, match="group_size: must be a positive multiple of 8, or None"):
        Int4(group)


def test_a_group_that_does_not_divide_the_row_is_refused_with_those_that_do():
    with pytest.raises(ValueError) as error:
        Int4(128).quantise(torch.zeros(1, 2, 704))
    assert str(error.value) == (
        "weight: group size 128 does not divide the input size 704, "
        "which allows 16 or 32 or 64 or one group per output channel"
    )
