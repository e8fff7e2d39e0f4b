"""A patched model over the Triton kernels themselves; run in Triton's interpreter by test_numbers.py."""

from __future__ import annotations

import torch

from moe_kernels.experts import explain_backend
from tests.integrations.transformers.models import answer, causal_model
from workbench.integrations.transformers import patch


def test_a_patched_model_answers_by_the_kernels():
    model = causal_model(dtype=torch.float16, layer_types=["full_attention"], num_experts=3)
    problem = {"num_experts": 3, "top_k": 2, "hidden_size": 32, "intermediate_size": 8, "dtype": "fp16"}
    assert explain_backend(problem, 2, torch.device("cpu")).backend != "torch"
    ids = torch.tensor([[3, 1]])
    before = answer(model, ids)
    patch(model)
    torch.testing.assert_close(answer(model, ids), before, rtol=1e-2, atol=1e-2)
