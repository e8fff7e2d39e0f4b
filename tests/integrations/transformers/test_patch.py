from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.func import functional_call
from transformers import Gemma4ForCausalLM
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRouter

from tests.integrations.transformers.models import (
    IDS,
    answer,
    causal_model,
    multimodal_model,
    text_config,
    text_model,
    tokens,
)
from workbench.integrations.transformers import patch, unpatch

FP32 = {"rtol": 1e-4, "atol": 1e-4}
SCALE = "model.layers.0.router.per_expert_scale"


@pytest.mark.parametrize("build", [causal_model, text_model, multimodal_model])
def test_a_patched_model_answers_the_same_and_an_unpatched_one_exactly_the_same(build):
    model = build()
    before = answer(model)
    assert [name.rpartition(".")[2] for name in patch(model).modules] == ["router", "experts"] * 2
    torch.testing.assert_close(answer(model), before, **FP32)
    unpatch(model)
    assert torch.equal(answer(model), before)


@pytest.mark.parametrize("build", [causal_model, multimodal_model])
def test_generation_gives_the_same_tokens_before_patched_and_after(build):
    model = build()
    before = tokens(model)
    with patch(model):
        assert torch.equal(tokens(model), before)
    assert torch.equal(tokens(model), before)


def test_moe_kernels_compute_what_a_patched_model_answers(monkeypatch):
    called = []
    for name in ("fused_routing", "fused_experts"):
        path = f"workbench.integrations.transformers.modules.{name}"
        monkeypatch.setattr(path, recording(called, name))
    model = causal_model()
    patch(model)
    answer(model)
    assert called == ["fused_routing", "fused_experts"] * 2


def recording(called, name):
    from workbench.integrations.transformers import modules

    original = getattr(modules, name)

    def record(*arguments, **options):
        called.append(name)
        return original(*arguments, **options)

    return record


def test_nothing_of_a_patch_is_left_when_it_is_undone():
    model = causal_model()
    before = [(name, type(module), dict(vars(module))) for name, module in model.named_modules()]
    keys, config = list(model.state_dict()), model.config.to_dict()
    patch(model)
    assert list(model.state_dict()) == keys
    unpatch(model)
    after = [(name, type(module), dict(vars(module))) for name, module in model.named_modules()]
    assert after == before
    assert model.config.to_dict() == config


def test_a_model_of_the_same_config_object_is_not_touched():
    config = text_config()
    one, other = (Gemma4ForCausalLM(config) for _ in range(2))
    kinds = [type(module) for module in other.modules()]
    patch(one)
    assert [type(module) for module in other.modules()] == kinds
    assert config._experts_implementation == "eager"


def test_several_models_are_patched_and_unpatched_on_their_own():
    one, other = causal_model(1), causal_model(2)
    before = answer(one), answer(other)
    patch(one), patch(other)
    unpatch(one)
    assert torch.equal(answer(one), before[0])
    assert has_ours(other)
    torch.testing.assert_close(answer(other), before[1], **FP32)


def has_ours(model):
    return any(type(module).__name__.startswith("Fused") for module in model.modules())


def test_a_second_patch_changes_nothing_and_undoing_it_leaves_the_first():
    model = causal_model()
    patch(model)
    with patch(model) as second:
        assert not second.modules
    assert has_ours(model)
    unpatch(model)
    unpatch(model)
    assert not has_ours(model)


def test_an_error_inside_the_context_takes_our_parts_out():
    model = causal_model()
    with pytest.raises(RuntimeError, match="on purpose"), patch(model):
        raise RuntimeError("on purpose")
    assert not has_ours(model)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_patched_model_is_patched_and_can_be_undone(duplicate):
    model = causal_model()
    before = answer(model)
    patch(model)
    other = duplicate(model)
    assert torch.equal(answer(other), answer(model))
    unpatch(other)
    assert torch.equal(answer(other), before)
    assert has_ours(model)


def test_a_part_alone_can_be_patched():
    layer = text_model().layers[0]
    assert list(patch(layer.router).modules) == [""]
    assert isinstance(layer.router, Gemma4TextRouter)


def test_a_saved_checkpoint_is_the_same_while_patched(tmp_path):
    model = causal_model()
    model.save_pretrained(tmp_path / "before")
    with patch(model):
        model.save_pretrained(tmp_path / "patched")
    for file in (tmp_path / "before").iterdir():
        assert (tmp_path / "patched" / file.name).read_bytes() == file.read_bytes()
    loaded = Gemma4ForCausalLM.from_pretrained(tmp_path / "patched", experts_implementation="eager")
    assert torch.equal(answer(loaded), answer(model))


def test_weights_load_into_a_patched_model():
    model, other = causal_model(1), causal_model(2)
    patch(model)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(answer(model), answer(other), **FP32)


def test_routing_reads_the_scale_of_the_experts_when_it_is_called():
    model = causal_model()
    changed = {SCALE: torch.tensor([3.0, 0.2, 1.0, 5.0])}
    expected = functional_call(model, changed, (IDS,)).logits
    assert not torch.allclose(expected, answer(model), **FP32)
    patch(model)
    torch.testing.assert_close(functional_call(model, changed, (IDS,)).logits, expected, **FP32)
    model.get_parameter(SCALE).data.copy_(changed[SCALE])
    torch.testing.assert_close(answer(model), expected, **FP32)


def test_router_logits_are_recorded_as_before():
    model = causal_model()
    before = model(IDS, output_router_logits=True).router_logits
    patch(model)
    patched = model(IDS, output_router_logits=True).router_logits
    assert len(patched) == len(before) == 2
    torch.testing.assert_close(patched, before, **FP32)


def test_gradients_are_those_of_the_model_before():
    model = causal_model()
    before = gradients(model)
    patch(model)
    patched = gradients(model)
    assert patched.keys() == before.keys()
    torch.testing.assert_close(patched, before, rtol=1e-3, atol=1e-3)


def gradients(model):
    outputs = model(IDS, labels=IDS, output_router_logits=True)
    balance = sum(probabilities.square().mean() for probabilities in outputs.router_logits)
    model.zero_grad()
    (outputs.loss + balance).backward()
    return {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }


def test_autocast_runs_a_patched_model():
    model = causal_model()
    with torch.autocast("cpu", torch.bfloat16):
        before = answer(model)
        patch(model)
        torch.testing.assert_close(answer(model), before, rtol=0.1, atol=0.1)


def test_experts_in_another_dtype_than_their_input_are_left_to_transformers():
    experts = text_model().layers[0].experts.bfloat16()
    arguments = torch.randn(3, 32), torch.tensor([[0, 2]] * 3), torch.rand(3, 2)
    experts.config._experts_implementation = "grouped_mm"
    before = experts(*arguments)
    patch(experts)
    assert torch.equal(experts(*arguments), before)


def test_a_whole_patched_model_passes_through_torch_save():
    model = causal_model()
    patch(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(answer(torch.load(file, weights_only=False)), answer(model))
