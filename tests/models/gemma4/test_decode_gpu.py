"""Decoding on a CUDA GPU: the captured step equals the eager one, waits for nothing and fits."""

from __future__ import annotations

import time

import pytest
import torch

from tests.models.gemma4.twins import draw_assistants, draw_models, hf_assistant_config, hf_config, random_ids
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.models.gemma4.graph import captured

pytestmark = pytest.mark.gpu
TINY = Gemma4Config.preset("tiny")


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    yield
    torch.cuda.empty_cache()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 5])
def test_captured_steps_give_the_eager_logits_past_the_window(dtype, batch):
    model = Gemma4ForCausalLM.random(TINY, "cuda", dtype)
    prompts = random_ids(batch, 11, TINY.vocab_size).cuda()
    lengths = list(range(11, 11 - batch, -1))
    tokens = random_ids(batch, 40, TINY.vocab_size).cuda()
    logits = []
    with torch.inference_mode():
        for enabled in (False, True):
            cache = model.new_cache(batch, 60)
            model.prefill(prompts, lengths, cache)
            step = captured(lambda new, cache=cache: model.step(new, cache), tokens[:, :1], enabled=enabled)
            steps = []
            for column in range(40):
                steps.append(step(tokens[:, column : column + 1])[0].clone())
                cache.lengths += 1
            logits.append(torch.cat(steps, dim=1).float())
    tolerance = 1e-4 if dtype is torch.float32 else 5e-2
    torch.testing.assert_close(*logits, rtol=tolerance, atol=tolerance)


def test_generation_with_graphs_is_that_without_and_that_of_the_cpu():
    hf = hf_config()
    model, assistant = draw_models(hf, 3)[0], draw_assistants(hf_assistant_config(hf), 3)[0]
    ids, lengths = random_ids(3, 9), [9, 4, 1]
    expected = model.generate(ids, 40, lengths=lengths)
    model, assistant, ids = model.cuda(), assistant.cuda(), ids.cuda()
    for graph in (False, True):
        assert torch.equal(model.generate(ids, 40, lengths=lengths, graph=graph).cpu(), expected)
        for draft_tokens in (1, 4, 8):
            options = {"assistant": assistant, "draft_tokens": draft_tokens, "graph": graph}
            assert torch.equal(model.generate(ids, 40, lengths=lengths, **options).cpu(), expected)


def test_a_replay_neither_waits_for_the_gpu_nor_allocates():
    model = Gemma4ForCausalLM.random(TINY, "cuda", torch.bfloat16)
    prompts = random_ids(4, 9, TINY.vocab_size).cuda()
    with torch.inference_mode():
        cache = model.new_cache(4, 60)
        model.prefill(prompts, cache=cache)
        tokens = prompts[:, :1].clone()
        step = captured(lambda new: model.step(new, cache), tokens, enabled=True)
        step(tokens)
        torch.cuda.synchronize()
        before = torch.cuda.memory_stats()["allocation.all.allocated"]
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(5):
                step(tokens)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def test_the_real_model_is_made_on_the_gpu_in_time_and_decodes_within_64_gb():
    if torch.cuda.mem_get_info()[0] < 64e9:
        pytest.skip("needs 64 GB of free GPU memory")
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    model = Gemma4ForCausalLM.random(Gemma4Config.preset("26b-a4b"), "cuda", torch.bfloat16)
    torch.cuda.synchronize()
    assert time.perf_counter() - start < 60
    ids = random_ids(16, 8960, 262_144).cuda()
    assert model.generate(ids, 40).shape == (16, 9000)
    assert torch.cuda.max_memory_allocated() < 64e9
