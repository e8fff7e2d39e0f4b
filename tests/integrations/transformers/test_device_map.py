from __future__ import annotations

import pytest
import torch
from transformers import Gemma4ForCausalLM

from tests.integrations.transformers.models import answer, causal_model, tokens
from workbench.integrations.transformers import patch, unpatch

accelerate = pytest.importorskip("accelerate")
SPREAD = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.norm": "cpu",
    "lm_head": "cpu",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    causal_model().save_pretrained(folder)
    return folder


def load(checkpoint, device_map, tmp_path):
    return Gemma4ForCausalLM.from_pretrained(
        checkpoint,
        device_map=device_map,
        offload_folder=tmp_path,
        experts_implementation="eager",
    )


@pytest.mark.parametrize("device_map", ["cpu", "auto", SPREAD], ids=["cpu", "auto", "layers on disk"])
def test_a_model_that_was_placed_generates_the_same_tokens(checkpoint, device_map, tmp_path):
    model = load(checkpoint, device_map, tmp_path)
    before, logits = tokens(model), answer(model)
    with patch(model):
        assert torch.equal(tokens(model), before)
        torch.testing.assert_close(answer(model), logits)
        assert [type(layer.router).__name__[:5] for layer in model.model.layers] == ["Fused", "Fused"]
    assert torch.equal(answer(model), logits)


def test_hooks_may_come_and_go_while_a_model_is_patched(tmp_path):
    model = causal_model()
    expected = answer(model)
    patch(model)
    accelerate.cpu_offload(model, execution_device="cpu")
    torch.testing.assert_close(answer(model), expected)
    accelerate.hooks.remove_hook_from_submodules(model)
    called = []
    model.model.layers[0].experts.register_forward_hook(lambda experts, *_: called.append(type(experts)))
    torch.testing.assert_close(answer(model), expected)
    unpatch(model)
    assert torch.equal(answer(model), expected)
    assert [kind.__name__ for kind in called] == ["FusedGemma4TextExperts", "Gemma4TextExperts"]


def test_a_model_whose_hooks_were_removed_is_reached(monkeypatch):
    model = causal_model()
    accelerate.cpu_offload(model, execution_device="cpu")
    accelerate.hooks.remove_hook_from_submodules(model)
    patch(model)
    monkeypatch.setattr("workbench.integrations.transformers.modules.fused_experts", refuse)
    with pytest.raises(NotImplementedError):
        answer(model)


def refuse(*_, **__):
    raise NotImplementedError
