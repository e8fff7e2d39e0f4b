"""The assistant against transformers, on assistants drawn afresh."""

from __future__ import annotations

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.models.gemma4.twins import (
    FP32,
    FULL,
    SLIDING,
    draw_assistants,
    draw_models,
    hf_assistant_config,
    hf_config,
    random_ids,
    seeds,
)
from workbench.models.gemma4 import Gemma4Assistant, Gemma4AssistantConfig, Gemma4Config

TARGET = hf_config()
ORDERED = {"use_ordered_embeddings": True, "num_centroids": 8, "centroid_intermediate_top_k": 3}


def fields(**changes):
    return {**hf_assistant_config(TARGET).to_dict(), **changes}


def text_fields(**changes):
    whole = fields()
    return {**whole, "text_config": {**whole["text_config"], **changes}}


def random_states(batch, tokens):
    heads = {SLIDING: (2, 8), FULL: (1, 16)}
    return {
        layer_type: tuple(torch.randn(batch, kv_heads, tokens, size) for _ in range(2))
        for layer_type, (kv_heads, size) in heads.items()
    }


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(batch=st.integers(1, 3), tokens=st.integers(1, 20), ahead=st.integers(0, 3), seed=seeds)
@pytest.mark.parametrize("options", [{}, ORDERED], ids=["all tokens", "centroids"])
def test_a_drafted_token_matches(options, batch, tokens, ahead, seed):
    ours, theirs = draw_assistants(hf_assistant_config(TARGET, **options), seed)
    states = random_states(batch, tokens)
    inputs = torch.randn(batch, 1, 2 * TARGET.hidden_size)
    positions = torch.full((batch, 1), tokens - 1 + ahead)
    expected = theirs(inputs_embeds=inputs, position_ids=positions, shared_kv_states=states)
    logits, state = ours(inputs, states, positions)
    assert expected.logits.std() > 0.1
    torch.testing.assert_close(logits, expected.logits, **FP32)
    torch.testing.assert_close(state, expected.last_hidden_state, **FP32)


def test_padded_states_are_not_seen():
    ours, _ = draw_assistants(hf_assistant_config(TARGET), 0)
    states, inputs = random_states(2, 12), torch.randn(2, 1, 2 * TARGET.hidden_size)
    lengths, positions = torch.tensor([12, 7]), torch.tensor([[12], [7]])
    together = ours(inputs, states, positions, lengths)
    alone = {kind: (keys[1:, :, :7], values[1:, :, :7]) for kind, (keys, values) in states.items()}
    expected = ours(inputs[1:], alone, positions[1:])
    torch.testing.assert_close(together.logits[1:], expected.logits, **FP32)


def test_parameters_are_named_as_in_transformers():
    ours, theirs = draw_assistants(hf_assistant_config(TARGET, **ORDERED), 0)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.lm_head.weight is ours.model.embed_tokens.weight


@pytest.mark.parametrize("absent", [True, False])
def test_experts_may_be_absent_or_none(absent):
    whole = fields()
    for name in ("num_experts", "top_k_experts", "moe_intermediate_size", "enable_moe_block"):
        if absent:
            del whole["text_config"][name]
        else:
            whole["text_config"][name] = None
    config = Gemma4AssistantConfig.from_hf(whole)
    assert not config.text.enable_moe_block
    assert not [name for name in Gemma4Assistant(config).state_dict() if "expert" in name]


def test_an_assistant_needs_nothing_of_a_target_s_constructor():
    assistant = Gemma4Assistant.random(Gemma4AssistantConfig.from_hf(fields()))
    assert not hasattr(assistant, "pp_group")
    logits, _ = assistant(torch.randn(1, 1, 64), random_states(1, 5), torch.tensor([[5]]))
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ({}, "^text_config: missing"),
        ({"text_config": {}}, "^backbone_hidden_size: missing"),
        (fields(backbone_hidden_size=0), "^backbone_hidden_size: must be an integer of at least 1, got 0"),
        (fields(use_ordered_embeddings=True, num_centroids=7), r"must divide vocab_size \(48\), got 7"),
        (fields(use_ordered_embeddings="yes"), "^use_ordered_embeddings: must be true or false"),
        (fields(**{**ORDERED, "centroid_intermediate_top_k": 9}), r"1 to num_centroids \(8\), got 9"),
        (text_fields(num_kv_shared_layers=1), r"must be num_hidden_layers \(2\) in an assistant, got 1"),
        (text_fields(hidden_size_per_layer_input=4), "^hidden_size_per_layer_input: must be 0"),
        (
            text_fields(enable_moe_block=True, num_experts=2, top_k_experts=1, moe_intermediate_size=4),
            "^enable_moe_block: must be false, an assistant is dense, got True",
        ),
    ],
)
def test_a_config_that_is_none_is_refused_by_field(whole, message):
    with pytest.raises(ValueError, match=message):
        Gemma4AssistantConfig.from_hf(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"hidden_size": 36},
            r"^assistant backbone_hidden_size: must be the target's hidden_size \(36\), got 32",
        ),
        ({"vocab_size": 50}, r"^assistant vocab_size: must be the target's vocab_size \(50\), got 48"),
        ({"head_dim": 10}, r"^assistant head_dim: must be the target's head_dim \(10\), got 8"),
        (
            {"sliding_window": 6},
            r"^assistant sliding_window: must be the target's sliding_window \(6\), got 5",
        ),
        ({"layer_types": [FULL, FULL]}, "^assistant layer_types: must be among the target's"),
    ],
)
def test_an_assistant_of_another_target_is_refused_with_both_values(change, message):
    target, _ = draw_models(hf_config(**change), 0)
    assistant = Gemma4Assistant.random(Gemma4AssistantConfig.from_hf(fields()))
    with pytest.raises(ValueError, match=message):
        target.generate(random_ids(1, 4), 4, assistant=assistant, draft_tokens=2)


def test_the_real_assistant_fits_the_real_model():
    target = Gemma4Config.preset("26b-a4b")
    text = {
        **{name: getattr(target, name) for name in ("vocab_size", "head_dim", "sliding_window")},
        "layer_types": [SLIDING, SLIDING, SLIDING, FULL],
        "hidden_size": 1024,
        "intermediate_size": 8192,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 2,
        "global_head_dim": 512,
        "max_position_embeddings": 262_144,
    }
    config = Gemma4AssistantConfig.from_hf(
        hf_assistant_config(hf_config(hidden_size=2816), text=text).to_dict()
    )
    config.check_fits(target)
    assistant = Gemma4Assistant(config, device="meta", dtype=torch.bfloat16)
    assert list(assistant.pre_projection.weight.shape) == [1024, 5632]
    assert list(assistant.model.layers[3].self_attn.q_proj.weight.shape) == [8192, 1024]
