"""The whole model against transformers, on models drawn afresh."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.models.gemma4.twins import (
    FP32,
    FULL,
    SLIDING,
    draw_models,
    fields_of_configs,
    hf_config,
    random_ids,
    seeds,
    their_logits,
)
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM, model

TINY = Gemma4Config.preset("tiny")
drawn = settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])


@drawn
@given(fields=fields_of_configs(), batch=st.integers(1, 3), width=st.integers(1, 24), seed=seeds)
def test_logits_of_every_position_match(fields, batch, width, seed):
    ours, theirs = draw_models(hf_config(**fields), seed)
    ids = random_ids(batch, width)
    expected = theirs(ids).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(ours(ids), expected, **FP32)


@drawn
@given(fields=fields_of_configs(), columns=st.integers(1, 30), seed=seeds, data=st.data())
def test_prefill_in_chunks_gives_the_logits_after_each_prompt(fields, columns, seed, data):
    ours, theirs = draw_models(hf_config(**fields), seed)
    width = data.draw(st.integers(1, 24))
    lengths = data.draw(st.lists(st.integers(1, width), min_size=1, max_size=3))
    ids = random_ids(len(lengths), width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "PREFILL_COLUMNS", columns)
        logits = ours.prefill(ids, lengths)
    for row, row_ids, length in zip(logits, ids.tolist(), lengths, strict=True):
        torch.testing.assert_close(row, their_logits(theirs, row_ids[:length])[-1], **FP32)


@drawn
@given(fields=fields_of_configs(), columns=st.integers(1, 30), seed=seeds, data=st.data())
def test_32_decoded_tokens_match_past_the_window_from_prompts_of_unequal_length(fields, columns, seed, data):
    ours, theirs = draw_models(hf_config(**fields), seed)
    width = data.draw(st.integers(1, 20))
    lengths = data.draw(st.lists(st.integers(1, width), min_size=1, max_size=3))
    prompts, new = random_ids(len(lengths), width), random_ids(len(lengths), 32)
    cache = ours.new_cache(len(lengths), width + 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "PREFILL_COLUMNS", columns)
        ours.prefill(prompts, lengths, cache)
    decoded = torch.cat([ours.decode(new[:, step : step + 1], cache) for step in range(32)], dim=1)
    for row, length in enumerate(lengths):
        sequence = prompts[row, :length].tolist() + new[row].tolist()
        torch.testing.assert_close(decoded[row], their_logits(theirs, sequence)[length:], **FP32)


@drawn
@given(step=st.integers(2, 9), taken_back=st.integers(0, 8), seed=seeds)
def test_tokens_written_ahead_can_be_taken_back(step, taken_back, seed):
    ours, theirs = draw_models(hf_config(sliding_window=4), seed)
    kept = max(1, step - taken_back)
    prompts, wrong, right = random_ids(2, 11), random_ids(2, step), random_ids(2, step)
    right[:, :kept] = wrong[:, :kept]
    cache = ours.new_cache(2, 60, draft_tokens=step - 1)
    ours.prefill(prompts, cache=cache)
    for _ in range(3):
        ours.decode(wrong, cache)
        cache.lengths -= step - kept
    decoded = ours.decode(right, cache)
    for row in range(2):
        sequence = prompts[row].tolist() + wrong[row, :kept].tolist() * 3 + right[row].tolist()
        expected = their_logits(theirs, sequence)[-step:]
        torch.testing.assert_close(decoded[row], expected, **FP32)


def test_padding_may_hold_anything_and_changes_nothing():
    ours, _ = draw_models(hf_config(), 0)
    ids, lengths = random_ids(2, 14), [14, 6]
    expected = ours.prefill(ids, lengths)
    ids[1, 6:] = -100
    assert torch.equal(ours.prefill(ids, lengths), expected)
    assert ours(ids, lengths).isfinite().all()


def test_bf16_rounds_where_transformers_rounds():
    hf = hf_config(enable_moe_block=False, final_logit_softcapping=None)
    ours, theirs = draw_models(hf, 0, torch.bfloat16)
    ids = random_ids(2, 20)
    assert torch.equal(ours.model.embed(ids), theirs.model.embed_tokens(ids))
    expected = theirs(ids).logits.float()
    assert (ours(ids).float() - expected).norm() < 0.03 * expected.norm()


def test_parameters_are_named_as_in_transformers():
    ours, theirs = draw_models(hf_config(attention_k_eq_v=False), 0)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


def test_gradients_reach_every_parameter():
    ours, _ = draw_models(hf_config(num_experts=2, top_k_experts=2), 0)
    ours(random_ids(2, 9)).square().mean().backward()
    assert [name for name, weight in ours.named_parameters() if weight.grad is None] == []


def test_random_weights_are_those_of_the_seed_and_outputs_vary():
    first, again, other = (Gemma4ForCausalLM.random(TINY, seed=seed) for seed in (1, 1, 2))
    ids = random_ids(1, 20, TINY.vocab_size)
    logits = first(ids)
    assert torch.equal(logits, again(ids))
    assert not torch.allclose(logits, other(ids))
    assert first.lm_head.weight is first.model.embed_tokens.weight
    assert len(set(logits[0].argmax(-1).tolist())) > 5


def test_random_weights_take_the_dtype_that_was_asked_for():
    drawn_model = Gemma4ForCausalLM.random(TINY, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in drawn_model.state_dict().values()} == {torch.bfloat16}


def test_a_cut_model_is_the_first_layers_of_the_whole():
    config = Gemma4Config.preset("26b-a4b").with_layers(7)
    assert config.layer_types == (SLIDING,) * 5 + (FULL, SLIDING)
    assert (config.is_cut, config.depth) == (True, "7 of 30 layers")
    assert config.with_layers(6).depth == "6 of 30 layers"


def test_a_model_with_all_its_layers_is_not_cut():
    assert TINY.with_layers(6) is TINY
    assert (TINY.is_cut, TINY.depth) == (False, "6 layers")


def test_a_cut_model_decodes_and_says_what_it_is():
    cut = Gemma4ForCausalLM.random(TINY.with_layers(2))
    assert cut.generate_with_stats(random_ids(1, 4), 3).stats.depth == "2 of 6 layers"


@pytest.mark.parametrize("layers", [0, 31, "6", True])
def test_a_depth_that_the_model_has_not_is_refused(layers):
    with pytest.raises(ValueError, match=r"^layers: must be"):
        Gemma4Config.preset("26b-a4b").with_layers(layers)


@pytest.mark.parametrize("name", ["hidden_size_per_layer_input", "num_kv_shared_layers"])
def test_layers_that_the_model_does_not_have_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"^{name}: must be 0, this model has no such layers, got 2"):
        Gemma4ForCausalLM(dataclasses.replace(TINY, **{name: 2}), device="meta")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[3, 48]], r"^ids: must be 0 to vocab_size - 1 \(47\), got 48"),
        ([[-1, 3]], r"^ids: must be 0 to vocab_size - 1 \(47\), got -1"),
        ([3, 4], r"^ids: must have shape \[B, S\], got \[2\]"),
        ([[0.5]], "^ids: dtype must be int32 or int64, got torch.float32"),
        ([[]], "^ids: "),
    ],
)
def test_ids_that_are_none_are_refused(ids, message):
    ours, _ = draw_models(hf_config(), 0)
    for call in (ours, ours.prefill, lambda ids: ours.generate(ids, 2)):
        with pytest.raises(ValueError, match=message):
            call(torch.tensor(ids))


@pytest.mark.parametrize("lengths", [[3], [0, 3], [3, 5], [1.5, 2], [[1], [2]]])
def test_lengths_that_do_not_fit_the_ids_are_refused(lengths):
    ours, _ = draw_models(hf_config(), 0)
    with pytest.raises(ValueError, match=r"^lengths: must be"):
        ours.prefill(random_ids(2, 4), lengths)


def test_what_does_not_fit_the_cache_is_refused_with_both_sizes():
    ours, _ = draw_models(hf_config(), 0)
    cache = ours.new_cache(1, 8)
    with pytest.raises(ValueError, match=r"^ids: 9 tokens do not fit the cache, which holds 8"):
        ours.prefill(random_ids(1, 9), cache=cache)
    ours.prefill(random_ids(1, 8), cache=cache)
    with pytest.raises(ValueError, match=r"^ids: 9 tokens do not fit the cache, which holds 8"):
        ours.decode(random_ids(1, 1), cache)
    with pytest.raises(
        ValueError, match=r"^max_tokens: must be up to max_position_embeddings \(128\), got 129"
    ):
        ours.new_cache(1, 129)
