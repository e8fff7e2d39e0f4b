from __future__ import annotations

import pytest
import torch

from tests.integrations.transformers.models import IDS, causal_model, text_model
from workbench.integrations.transformers import patch, unpatch


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def test_a_patched_model_compiles_as_one_graph():
    model = causal_model(layer_types=["full_attention"])
    patch(model)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    # Without a cache: on older releases of torch, making one breaks the graph.
    torch.testing.assert_close(compiled(IDS, use_cache=False).logits, model(IDS).logits)


def test_a_model_compiled_before_runs_ours_while_patched_and_its_own_after():
    layer = text_model().layers[0]
    experts = torch.compile(layer.experts, backend="eager")
    layer.experts.config._experts_implementation = "batched_mm"
    arguments = torch.randn(3, 32), torch.tensor([[0, 2], [1, 3], [2, 0]]), torch.rand(3, 2)
    before = experts(*arguments)
    patch(experts)
    foreign = arguments[0], torch.tensor([[0, 9]] * 3), arguments[2]
    torch.testing.assert_close(experts(*foreign), layer.experts(*foreign))
    unpatch(experts)
    assert torch.equal(experts(*arguments), before)


def test_a_patched_router_passes_through_the_ahead_of_time_compiler_with_gradients():
    router = text_model().layers[0].router
    patch(router)
    hidden = torch.randn(5, 32)
    compiled = torch.compile(router, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(hidden), router(hidden))
    (expected,) = torch.autograd.grad(router(hidden)[1].square().sum(), router.scale)
    (found,) = torch.autograd.grad(compiled(hidden)[1].square().sum(), router.scale)
    torch.testing.assert_close(found, expected)
