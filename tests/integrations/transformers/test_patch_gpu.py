"""On a GPU: a patched model by the Triton kernels, in the ways in which transformers runs it there."""

from __future__ import annotations

import pytest
import torch

from tests.integrations.transformers.models import VOCABULARY, causal_model
from workbench.integrations.transformers import patch

pytestmark = pytest.mark.gpu
SIZES = {"hidden_size": 64, "moe_intermediate_size": 32, "num_experts": 8, "top_k_experts": 2}


def prompts():
    return torch.randint(0, VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(2)).cuda()


def generate(model, **options):
    with torch.no_grad():
        return model.generate(prompts(), max_new_tokens=12, do_sample=False, **options)


@torch.no_grad()
def shortfall(model, ids):
    """How far each generated token's logit is below the greatest of its position, by another run of the model."""
    logits = model(ids).logits[:, prompts().shape[1] - 1 : -1].float()
    chosen = ids[:, prompts().shape[1] :]
    return logits.amax(-1) - logits.gather(-1, chosen[..., None])[..., 0]


@pytest.mark.parametrize("cache", [None, "static"])
def test_greedy_tokens_are_those_of_transformers_up_to_ties(cache):
    model = causal_model(dtype=torch.float16, **SIZES).cuda()
    before = generate(model, cache_implementation=cache)
    with patch(model):
        patched = generate(model, cache_implementation=cache)
    assert patched.shape == before.shape
    assert shortfall(model, patched).quantile(0.9) < 0.05
    assert torch.equal(generate(model, cache_implementation=cache), before)


@torch.no_grad()
def test_a_step_of_a_patched_model_runs_our_kernels():
    model = causal_model(dtype=torch.bfloat16, **SIZES).cuda()
    patch(model)
    model(prompts())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        model(prompts())
        torch.cuda.synchronize()
    names = {event.key for event in profile.key_averages()}
    assert any("routing" in name for name in names), names
    assert not any("topk" in name.lower() for name in names), names
