"""A patched model over the Triton kernels themselves; run in Triton's interpreter by test_numbers.py."""

from __future__ import annotations

import pytest
import torch

from moe_kernels.experts import explain_backend
from tests.integrations.transformers.models import answer, causal_model
from workbench.integrations.transformers import patch
from workbench.sweep.stages.interpreter import mend_interpreter

mend_interpreter()


@pytest.mark.parametrize(("num_experts", "backend"), [(3, "grouped"), (4, "decode")])
def test_a_patched_model_answers_by_the_kernels(num_experts, backend):
    model = causal_model(dtype=torch.float16, layer_types=["full_attention"], num_experts=num_experts)
    axes = {"num_experts": num_experts, "top_k": 2, "hidden_size": 32, "intermediate_size": 8}
    assert explain_backend({**axes, "dtype": "fp16"}, 2, torch.device("cpu")).backend == backend
    ids = torch.tensor([[3, 1]])
    before = answer(model, ids)
    patch(model)
    torch.testing.assert_close(answer(model, ids), before, rtol=1e-2, atol=1e-2)
