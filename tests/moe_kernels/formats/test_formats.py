from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from moe_kernels.formats import Fp8, Int4, Nvfp4, linear, parse_format, quantised_linear

NAMES = (
    "int4-g32",
    "int4-g64-asym",
    "int4-channel",
    "int4-channel-asym",
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "fp8-block-r64",
    "nvfp4",
)


@pytest.fixture(params=NAMES)
def weight_format(request):
    return parse_format(request.param)


def test_a_name_is_read_back(weight_format):
    assert parse_format(weight_format.name) == weight_format
    assert str(weight_format) == weight_format.name


@given(
    st.text(max_size=20) | st.sampled_from(("int4", "int4-g0", "int4-g32-sym", "fp8", "NVFP4", "int4-g32\n"))
)
def test_another_name_is_refused_with_a_list(text):
    # Hypothesis draws strings of the source too.
    assume(
        not re.fullmatch(
            r"int4-(channel|g[1-9]\d*)(-asym)?|fp8-(tensor|channel|block(-r[1-9]\d*)?)|nvfp4", text
        )
    )
    with pytest.raises(ValueError, match=r"format: must be one of int4-channel, .*, fp8-block, nvfp4; got "):
        parse_format(text)


def test_a_group_that_cannot_be_packed_is_refused_by_name():
    with pytest.raises(ValueError, match="group_size: must be a positive multiple of 8"):
        parse_format("int4-g20")


@pytest.mark.parametrize(
    ("weight_format", "word"),
    [(Int4(32), "int4_w4a16"), (Fp8("block"), "fp8_w8a8"), (Nvfp4(), "nvfp4")],
)
def test_tuned_configs_are_filed_under_the_engines_words(weight_format, word):
    assert weight_format.quantise(torch.ones(1, 8, 64)).dtype_word == word


def test_quantised_weights_know_their_size(weight_format):
    held = weight_format.quantise(torch.randn(2, 24, 192, dtype=torch.bfloat16))
    assert (held.shape, held.device.type) == ((2, 24, 192), "cpu")
    assert held.nbytes == sum(tensor.numel() * tensor.itemsize for tensor in held.tensors().values())
    assert held.nbytes < 0.6 * 2 * 2 * 24 * 192
    one = held.expert(1)
    assert torch.equal(weight_format.dequantise(one)[0], weight_format.dequantise(held)[1])
    assert held.to("meta").device.type == "meta"


@pytest.mark.parametrize(
    ("rows", "start", "stop"), [(300, 0, 128), (300, 128, 256), (300, 256, 300), (128, 0, 128)]
)
def test_some_rows_are_those_of_the_whole(weight_format, rows, start, stop):
    held = weight_format.quantise(torch.randn(2, rows, 64))
    part = held.rows(start, stop)
    weight_format.check(part)
    assert torch.equal(weight_format.dequantise(part), weight_format.dequantise(held)[:, start:stop])


def test_a_product_in_pieces_is_the_whole_product(weight_format, monkeypatch):
    held = weight_format.quantise(torch.randn(1, 300, 64))
    tokens = torch.randn(3, 64, dtype=torch.float64)
    whole = quantised_linear(tokens, held)
    monkeypatch.setattr(linear, "ELEMENTS_AT_A_TIME", 1)
    torch.testing.assert_close(quantised_linear(tokens, held), whole)


def test_an_empty_one_has_the_layout_that_quantising_makes(weight_format):
    made = weight_format.quantise(torch.randn(2, 24, 192))
    empty = weight_format.empty(2, 24, 192, scale_dtype=torch.float32)
    weight_format.check(empty)
    described = [
        {name: (held.shape, held.dtype) for name, held in each.tensors().items()} for each in (made, empty)
    ]
    assert described[0] == described[1]


def test_no_experts_are_experts_too(weight_format):
    held = weight_format.quantise(torch.empty(0, 24, 192))
    weight_format.check(held)
    assert weight_format.dequantise(held).shape == (0, 24, 192)


@pytest.mark.parametrize("weight", [torch.zeros(2, 3), torch.zeros(1, 2, 64, dtype=torch.int32)])
def test_only_three_dimensions_of_floats_are_quantised(weight):
    with pytest.raises(
        ValueError, match=r"^weight: (must have shape \[E, N, K\]|dtype must be bfloat16 or )"
    ):
        Int4(32).quantise(weight)


INT4, ASYMMETRIC = Int4(32), Int4(32, symmetric=False)
FP8, NVFP4 = Fp8("channel"), Nvfp4()
WRONG = {
    "a missing zero point": (
        ASYMMETRIC,
        {"zero_points": None},
        "missing, int4-g32-asym needs int32 [2, 2, 3]",
    ),
    "a zero point too many": (
        INT4,
        {"zero_points": torch.zeros(1)},
        "zero_points: must be None, int4-g32 has none",
    ),
    "a global scale too many": (
        FP8,
        {"global_scales": torch.zeros(1)},
        "global_scales: must be None, fp8-channel has",
    ),
    "a missing global scale": (
        NVFP4,
        {"global_scales": None},
        "missing, nvfp4 needs float32 [2, 1, 1] or ",
    ),
    "another dtype": (INT4, {"values": torch.zeros(2, 16, 12)}, "values: dtype must be int32, got float32"),
    "integer scales": (
        INT4,
        {"scales": torch.zeros(2, 16, 3).int()},
        "scales: dtype must be bfloat16 or float16 or ",
    ),
    "two dimensions": (
        INT4,
        {"values": torch.zeros(16, 12).int()},
        "must have shape [E, N, packed K], got [16",
    ),
    "a wrong packing": (
        INT4,
        {"values": torch.zeros(2, 16, 24).int()},
        "scales: must have shape [2, 16, 6], got ",
    ),
    "zero points along K": (
        ASYMMETRIC,
        {"zero_points": torch.zeros(2, 16, 1).int()},
        "zero_points: must have shape [2, 2, 3], got [2, 16, 1]",
    ),
    "an impossible group": (
        Int4(64),
        {},
        "group size 64 does not divide the input size 96, which allows 16 or 32",
    ),
    "another device": (
        INT4,
        {"scales": torch.zeros(2, 16, 3, device="meta")},
        "scales: must be on cpu as its values",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_tensors_that_do_not_fit_are_named_with_what_is_allowed(case):
    weight_format, changes, message = WRONG[case]
    made = (INT4 if weight_format == Int4(64) else weight_format).quantise(torch.randn(2, 16, 96))
    wrong = replace(made, format=weight_format, **changes)
    with pytest.raises(ValueError) as error:
        weight_format.check(wrong, name="down")
    assert str(error.value).startswith(("down: ", "down."))
    assert message in str(error.value)
