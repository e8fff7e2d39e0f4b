from __future__ import annotations

import pytest
import torch

from moe_kernels.formats import dequantise_tokens, parse_format, quantise_tokens

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "name", ["int4-g32", "int4-g64-asym", "int4-channel", "fp8-channel", "fp8-block", "nvfp4"]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_gpu_dequantises_to_the_same_bits(name, dtype):
    held = parse_format(name).quantise(torch.randn(2, 24, 192, dtype=torch.bfloat16))
    expected = held.format.dequantise(held, dtype)
    assert torch.equal(held.format.dequantise(held.to("cuda"), dtype).cpu(), expected)


@pytest.mark.parametrize("group", [None, 128])
def test_a_gpu_quantises_tokens_as_well(group):
    tokens = torch.randn(5, 300, device="cuda", dtype=torch.bfloat16)
    back = dequantise_tokens(*quantise_tokens(tokens, group), group, torch.float32)
    largest = tokens.float().abs().amax(-1, keepdim=True)
    assert ((back - tokens).abs() <= tokens.abs() / 16 + largest * 2**-9 / 448).all()
