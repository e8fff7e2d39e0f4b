from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_kernels.formats import dequantise_tokens, quantise_tokens


@given(
    st.integers(0, 4),
    st.sampled_from((1, 127, 128, 129, 300)),
    st.sampled_from((None, 128, 32)),
    st.floats(1e-6, 1e6),
)
def test_a_token_comes_back_within_a_step_of_e4m3(count, size, group, scale):
    tokens = torch.randn(count, size) * scale
    values, scales = quantise_tokens(tokens, group)
    assert (values.dtype, values.shape) == (torch.float8_e4m3fn, (count, size))
    assert (scales.dtype, scales.shape) == (torch.float32, (count, -(-size // group) if group else 1))
    back = dequantise_tokens(values, scales, group, torch.float32)
    largest = tokens.abs().amax(-1, keepdim=True)
    assert ((back - tokens).abs() <= tokens.abs() / 16 + largest * 2**-9 / 448).all()


@pytest.mark.parametrize("group", [None, 128])
def test_the_largest_value_becomes_448_and_a_token_of_zeros_stays_zero(group):
    tokens = torch.tensor([[3.5, -1.0], [0.0, 0.0]], dtype=torch.bfloat16)
    values, scales = quantise_tokens(tokens, group)
    assert values.float().tolist() == [[448.0, -128.0], [0.0, 0.0]]
    assert scales[0].item() == pytest.approx(3.5 / 448)
    assert scales[1].item() > 0


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_token_that_is_no_number_spoils_itself_alone(spoilt):
    tokens = torch.ones(2, 4)
    tokens[0, 1] = spoilt
    back = dequantise_tokens(*quantise_tokens(tokens), None, torch.float32)
    assert back[0].isnan().any()
    assert torch.equal(back[1], tokens[1])
