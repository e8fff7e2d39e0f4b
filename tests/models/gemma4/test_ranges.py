"""nvtx ranges around layers and their parts: nested, balanced, and none where nobody asks or torch compiles."""

from __future__ import annotations

import pytest
import torch

from tests.support.nvtx_recorder import record_ranges
from workbench.base.ranges import NVTX_VARIABLE
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.models.gemma4.passes import whole_pass
from workbench.models.gemma4.ranges import mark_parts
from workbench.models.gemma4.rope import rotation_tables

TINY = Gemma4Config.preset("tiny").with_layers(2)
IDS = torch.tensor([[3, 1, 2]])
OF_A_LAYER = ["", "/attention", "/dense MLP", "/router", "/experts"]


@pytest.fixture
def ranges(monkeypatch):
    monkeypatch.setenv(NVTX_VARIABLE, "1")
    return record_ranges(monkeypatch)


@pytest.fixture
def marked(ranges):
    model = Gemma4ForCausalLM.random(TINY)
    mark_parts(model)
    return model


def test_every_layer_shows_its_parts_and_computes_what_it_did(ranges, marked):
    logits = marked(IDS)
    assert ranges.opened == [f"layer {layer}{part}" for layer in range(2) for part in OF_A_LAYER]
    assert ranges.open == []
    assert torch.equal(logits, Gemma4ForCausalLM.random(TINY)(IDS))


def test_ranges_close_when_an_exception_passes_through(ranges, marked):
    def fail(*_):
        raise KeyError

    marked.model.layers[1].router.route = fail
    with pytest.raises(KeyError):
        marked(IDS)
    assert ranges.opened[-1] == "layer 1/router"
    assert ranges.open == []


def test_where_nobody_asks_the_modules_are_as_they_were(monkeypatch):
    monkeypatch.setenv(NVTX_VARIABLE, "0")
    model = Gemma4ForCausalLM.random(TINY)
    mark_parts(model)
    assert all("forward" not in vars(module) for module in model.modules())


@pytest.mark.parametrize("asked", ["0", "1"])
def test_torch_compile_sees_no_range(ranges, monkeypatch, asked):
    monkeypatch.setenv(NVTX_VARIABLE, asked)
    model = Gemma4ForCausalLM.random(TINY)
    mark_parts(model)
    layer, hidden = model.model.layers[0], torch.randn(1, 3, TINY.hidden_size)
    inputs = whole_pass(TINY, rotation_tables(TINY, 3), 3)[layer.layer_type]
    torch.compiler.reset()
    with torch.no_grad():
        found = torch.compile(layer, fullgraph=True, backend="eager")(hidden, inputs, None)
        assert ranges.opened == []
        torch.testing.assert_close(found, layer(hidden, inputs, None))
    assert len(ranges.opened) == int(asked) * len(OF_A_LAYER)
