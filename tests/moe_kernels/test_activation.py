from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.activations import ACT2FN

from moe_kernels.activation import Activation

SAME_IN_TRANSFORMERS = {
    "gelu": Activation.gelu,
    "gelu_python": Activation.gelu,
    "gelu_pytorch_tanh": Activation.gelu_tanh,
    "gelu_python_tanh": Activation.gelu_tanh,
    "gelu_new": Activation.gelu_tanh,
    "gelu_fast": Activation.gelu_tanh,
    "gelu_accurate": Activation.gelu_tanh,
    "silu": Activation.silu,
    "swish": Activation.silu,
}


@pytest.mark.parametrize("activation", Activation)
def test_every_activation_parses_its_own_name(activation):
    assert Activation.parse(activation.value) is activation
    assert Activation.parse(activation) is activation


def test_only_names_without_no_mul_are_gated():
    assert [a.value for a in Activation if a.is_gated] == ["gelu", "gelu_tanh", "silu"]
    assert [a.value for a in Activation if not a.is_gated] == [
        "gelu_no_mul",
        "gelu_tanh_no_mul",
        "silu_no_mul",
    ]


@pytest.mark.parametrize(("alias", "activation"), SAME_IN_TRANSFORMERS.items())
def test_alias_is_the_function_that_transformers_means(alias, activation):
    values = torch.linspace(-8, 8, 1001)
    assert Activation.parse(alias) is activation
    ungated = Activation.parse(f"{alias}_no_mul")
    assert not ungated.is_gated
    torch.testing.assert_close(ungated.apply(values), ACT2FN[alias](values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["quick_gelu", "gelu_10", "relu", "", "_no_mul", "GELU", "gelu_no_mul_no_mul", None, 3]
)
def test_unknown_name_is_refused_with_all_that_exists(name):
    with pytest.raises(ValueError, match=r"^activation: ") as error:
        Activation.parse(name)
    for existing in (*Activation, *SAME_IN_TRANSFORMERS, repr(name)):
        assert str(existing) in str(error.value)


def test_gelu_and_its_tanh_approximation_are_told_apart():
    value = torch.tensor([1.5], dtype=torch.float64)
    exact = 0.5 * 1.5 * (1 + math.erf(1.5 / math.sqrt(2)))
    approximate = 0.5 * 1.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (1.5 + 0.044715 * 1.5**3)))
    assert Activation.gelu_no_mul.apply(value).item() == pytest.approx(exact, abs=1e-12)
    assert Activation.gelu_tanh_no_mul.apply(value).item() == pytest.approx(approximate, abs=1e-12)
    assert abs(exact - approximate) > 1e-5


@settings(max_examples=30, deadline=None)
@given(
    activation=st.sampled_from([a for a in Activation if a.is_gated]),
    shape=st.lists(st.integers(0, 5), max_size=3),
    width=st.integers(1, 9),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 2**32 - 1),
)
def test_gated_input_is_gate_then_up_in_two_chunks(activation, shape, width, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    gate, up = torch.randn(2, *shape, width, generator=generator).to(dtype)
    out = activation.apply(torch.cat([gate, up], dim=-1))
    assert out.dtype is dtype
    torch.testing.assert_close(out, Activation(f"{activation}_no_mul").apply(gate) * up)


def test_gated_input_of_odd_width_is_refused():
    with pytest.raises(ValueError, match=r"gate_up: last dimension must be even for silu, got \[2, 3\]"):
        Activation.silu.apply(torch.zeros(2, 3))


def test_gradient_flows_through_gate_and_up():
    gate_up = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Activation.gelu_tanh.apply, gate_up)
