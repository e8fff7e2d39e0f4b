from __future__ import annotations

import sys
from types import MethodType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextExperts

from tests.integrations.transformers.models import answer, causal_model
from workbench.base.errors import InputError
from workbench.integrations.transformers import patch


def test_without_transformers_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'transformers>=5\.23'"):
        patch(nn.Linear(1, 1))


@pytest.mark.parametrize("found", ["5.22.4", "4.99.0"])
def test_an_old_transformers_is_named_with_what_is_needed(found, monkeypatch):
    monkeypatch.setattr("transformers.__version__", found)
    with pytest.raises(InputError, match=rf"transformers {found} is too old.*pip install"):
        patch(nn.Linear(1, 1))


@pytest.mark.parametrize("found", ["5.23.0", "5.24.0.dev0", "6.0"])
def test_a_newer_transformers_is_taken(found, monkeypatch):
    monkeypatch.setattr("transformers.__version__", found)
    assert patch(causal_model()).modules


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(1, 1), "Linear has no Gemma4TextRouter and Gemma4TextExperts"),
        ("google/gemma-4", "must be a torch module, got str"),
    ],
)
def test_a_model_without_experts_is_an_error(model, message):
    with pytest.raises(InputError, match=message):
        patch(model)


def test_a_dense_gemma_4_is_an_error():
    model = causal_model(
        enable_moe_block=False, num_experts=None, top_k_experts=None, moe_intermediate_size=None
    )
    with pytest.raises(InputError, match=r"Gemma4ForCausalLM has no Gemma4TextRouter.* dense models do not"):
        patch(model)


class Fp8Experts(nn.Module):
    pass


def test_experts_that_a_quantiser_replaced_are_refused_with_the_format_and_nothing_is_changed():
    model = causal_model()
    model.model.layers[1].experts = Fp8Experts()
    model.config.quantization_config = {"quant_method": "fp8", "format": "float-quantized"}
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(
        InputError, match=r"layers\.1\.experts: is a Fp8Experts.*quantised \(fp8, float-quantized\)"
    ):
        patch(model)
    assert [type(module) for module in model.modules()] == kinds


def test_packed_experts_are_refused_with_the_format():
    model = causal_model()
    packed = nn.Parameter(torch.zeros(4, 32, 4, dtype=torch.uint8), requires_grad=False)
    model.model.layers[0].experts.down_proj = packed
    method = SimpleNamespace(value="bitsandbytes")
    model.config.quantization_config = SimpleNamespace(to_dict=lambda: {"quant_method": method})
    with pytest.raises(InputError, match=r"experts\.down_proj: is uint8; .*quantised \(bitsandbytes\)"):
        patch(model)


def test_experts_whose_weights_went_elsewhere_are_refused():
    model = causal_model()
    del model.model.layers[1].experts.gate_up_proj
    with pytest.raises(InputError, match=r"layers\.1\.experts\.gate_up_proj: is not there"):
        patch(model)


class ScaledTensor(torch.Tensor):
    """A tensor class of another library, which says that it is bf16."""


def test_experts_of_a_foreign_tensor_class_are_refused():
    model = causal_model()
    experts = model.model.layers[0].experts
    experts.down_proj = nn.Parameter(experts.down_proj.data.as_subclass(ScaledTensor))
    with pytest.raises(InputError, match=r"down_proj: is a ScaledTensor; ours take plain tensors"):
        patch(model)


def test_a_subclass_of_the_experts_is_refused_by_its_name():
    model = causal_model()
    parametrize.register_parametrization(model.model.layers[0].experts, "down_proj", nn.Identity())
    with pytest.raises(InputError, match=r"experts: is a ParametrizedGemma4TextExperts"):
        patch(model)


def test_a_forward_that_another_library_replaced_is_refused():
    model = causal_model()
    router = model.model.layers[1].router
    router.forward = MethodType(lambda self, hidden: None, router)
    with pytest.raises(InputError, match=r"layers\.1\.router: its forward was replaced"):
        patch(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_activation": "relu"}, r"layers\.0\.experts: activation: must be one of .*'relu'"),
        ({"num_experts": 1025}, r"layers\.0\.router: routes to 1025 experts; at most 1024"),
    ],
)
def test_what_our_kernels_do_not_compute_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        patch(causal_model(**changes))


class Adapter(nn.Module):
    """As adapters wrap a module."""

    def __init__(self, base_layer):
        super().__init__()
        self.base_layer = base_layer

    def forward(self, *arguments):
        return self.base_layer(*arguments)


def test_experts_inside_an_adapter_are_replaced():
    model = causal_model()
    before = answer(model)
    for layer in model.model.layers:
        layer.experts = Adapter(layer.experts)
    assert "model.layers.1.experts.base_layer" in patch(model).modules
    torch.testing.assert_close(answer(model), before)


def test_weights_that_are_parametrised_during_the_forward_are_used_as_they_are_then():
    model = causal_model()
    patch(model)
    experts = model.model.layers[0].experts
    before = answer(model)
    parametrize.register_parametrization(experts, "down_proj", Exchanged())
    assert isinstance(experts, Gemma4TextExperts)
    assert not torch.allclose(answer(model), before, rtol=1e-2)
    parametrize.remove_parametrizations(experts, "down_proj", leave_parametrized=False)
    assert torch.equal(answer(model), before)


class Exchanged(nn.Module):
    """Each expert's weights at another expert."""

    def forward(self, weights):
        return weights.flip(0)
