from __future__ import annotations

import pytest
import torch

from moe_kernels.activation import Activation
from moe_kernels.experts import QuantisedCall, fused_experts, reference_experts
from moe_kernels.formats import Fp8, QuantisedWeights, parse_format, quantise_tokens
from tests.moe_kernels.experts.cases import draw_tensors
from tests.moe_kernels.experts.oracle import GATED, UNGATED, assert_mixed

FORMATS = ("int4-g16", "int4-g32-asym", "int4-channel", "nvfp4", "fp8-tensor", "fp8-channel", "fp8-block")
SIZES = (5, 4, 3, 64, 96)


def quantised(tensors, weight_format):
    hidden, gate_up, down, weights, ids = tensors
    return hidden, weight_format.quantise(gate_up), weight_format.quantise(down), weights, ids


def dequantised(tensors, dtype):
    """The same call with the projections as tensors."""
    hidden, *projections, weights, ids = tensors
    gate_up, down = (projection.format.dequantise(projection, dtype) for projection in projections)
    return hidden, gate_up, down, weights, ids


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


@pytest.mark.parametrize("name", [name for name in FORMATS if "fp8" not in name])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("activation", ["gelu_tanh", "silu_no_mul"])
def test_weights_only_formats_compute_what_the_dequantised_weights_do(name, dtype, activation):
    tensors = draw_tensors(SIZES, dtype=dtype, routing="some_foreign", activation=activation)
    call = quantised(tensors, parse_format(name))
    out = fused_experts(*call, activation=activation)
    assert_mixed(out, dequantised(call, torch.float64), activation)
    assert torch.equal(out, fused_experts(*call, activation=activation))


@pytest.mark.parametrize("activation", [*GATED, *UNGATED])
def test_every_activation_goes_with_quantised_weights(activation):
    call = quantised(draw_tensors(SIZES, activation=activation), parse_format("nvfp4"))
    assert_mixed(fused_experts(*call, activation=activation), dequantised(call, torch.float64), activation)


@pytest.mark.parametrize("scales", ["tensor", "channel", "block"])
def test_fp8_quantises_activations_before_both_products(scales):
    tensors = draw_tensors((4, 3, 1, 160, 130), dtype=torch.float64, routing="distinct")
    call = quantised(tensors, Fp8(scales))
    hidden, gate_up, down, weights, ids = dequantised(call, torch.float64)
    group = 128 if scales == "block" else None

    def through_e4m3(row):
        values, factors = quantise_tokens(row[None], group)
        spread = factors.double().repeat_interleave(group or len(row), -1)[:, : len(row)]
        return (values.double() * spread)[0]

    expected = []
    for token, row in enumerate(hidden):
        expert = ids[token, 0]
        gate, up = (gate_up[expert] @ through_e4m3(row)).chunk(2)
        inner = torch.nn.functional.gelu(gate, approximate="tanh") * up
        expected.append(weights[token].double() * (down[expert] @ through_e4m3(inner)))
    torch.testing.assert_close(fused_experts(*call), torch.stack(expected))


def test_only_experts_in_use_are_dequantised_and_one_at_a_time():
    seen = []

    class Watched(Fp8):
        def _dequantise(self, weights, dtype):
            seen.append(weights.shape[0])
            return super()._dequantise(weights, dtype)

    tensors = draw_tensors((6, 8, 2, 64, 32), routing="all_on_the_last")
    reference_experts(QuantisedCall(**named(quantised(tensors, Watched("channel")))))
    assert seen == [1, 1]


def named(tensors):
    names = ("hidden", "gate_up", "down", "weights", "ids")
    return {**dict(zip(names, tensors, strict=True)), "activation": Activation.gelu_tanh}


@pytest.mark.parametrize("tokens", [0, 3])
def test_no_tokens_and_foreign_ones_give_zeros(tokens):
    call = quantised(draw_tensors((tokens, 4, 2, 64, 32), routing="all_foreign"), parse_format("int4-g32"))
    out = fused_experts(*call)
    assert (out.shape, out.dtype, out.abs().sum().item()) == ((tokens, 64), torch.bfloat16, 0.0)


def test_both_projections_are_quantised_or_none():
    hidden, gate_up, down, weights, ids = draw_tensors(SIZES)
    with pytest.raises(ValueError, match="down: must be QuantisedWeights as the other projection"):
        fused_experts(hidden, parse_format("nvfp4").quantise(gate_up), down, weights, ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.map(lambda tensor: tensor[:2]), r"gate_up: must have shape \[4, 192, 64\]"),
        (lambda held: held.map(lambda tensor: tensor[:, :8]), r"gate_up: must have shape \[4, 192, 64\]"),
        (
            lambda held: QuantisedWeights(
                format=held.format, values=held.values, scales=held.scales[..., :1]
            ),
            r"gate_up.scales: must have shape \[4, 192, 2\], got \[4, 192, 1\]",
        ),
    ],
)
def test_quantised_weights_that_do_not_fit_are_refused_by_name(change, message):
    hidden, gate_up, down, weights, ids = quantised(draw_tensors(SIZES), parse_format("int4-g32"))
    with pytest.raises(ValueError, match=message):
        fused_experts(hidden, change(gate_up), down, weights, ids)
