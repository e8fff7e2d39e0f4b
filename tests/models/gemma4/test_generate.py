from __future__ import annotations

import pytest
import torch

from tests.models.gemma4.twins import draw_models, hf_config, random_ids, their_logits
from workbench.models.gemma4.generation import lengths_to_end


@pytest.fixture(scope="module")
def models():
    return draw_models(hf_config(), 7)


@pytest.fixture
def ours(models):
    return models[0]


def test_greedy_tokens_are_those_of_transformers(models):
    ours, theirs = models
    ids = random_ids(2, 9)
    expected = theirs.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert torch.equal(ours.generate(ids, 24), expected)


def test_each_prompt_of_a_batch_continues_as_it_does_alone(models):
    ours, theirs = models
    ids, lengths = random_ids(3, 12), [12, 5, 1]
    out = ours.generate(ids, 20, lengths=lengths)
    assert torch.equal(out[:, :12], ids)
    for row, length in enumerate(lengths):
        alone = ours.generate(ids[row : row + 1, :length], 20)
        assert torch.equal(out[row, 12:], alone[0, length:])
        logits = their_logits(theirs, alone[0].tolist())
        assert torch.equal(logits[length - 1 : -1].argmax(-1), alone[0, length:])


def test_a_sequence_that_ended_repeats_its_end(ours):
    ids = random_ids(4, 6)
    free = ours.generate(ids, 16)[:, 6:]
    ends = [int(free[0, 3]), int(free[1, 8])]
    generation = ours.generate_with_stats(ids, 16, eos=ends)
    lengths = lengths_to_end(free, torch.tensor(ends))
    for row, expected, length in zip(generation.ids[:, 6:], free, lengths.tolist(), strict=True):
        assert torch.equal(row[:length], expected[:length])
        assert (row[length:] == row[length - 1]).all()
    assert generation.stats.new_tokens == int(lengths.sum())


def test_nothing_is_decoded_after_all_sequences_ended(ours):
    ids = random_ids(1, 6)
    first = int(ours.generate(ids, 1)[0, -1])
    generation = ours.generate_with_stats(ids, 30, eos=first)
    assert generation.stats.steps == 0
    assert (generation.ids[0, 6:] == first).all()


def test_sampling_repeats_with_its_seed_and_follows_the_temperature(ours):
    ids = random_ids(2, 6)
    cold, hot, again, other = (
        ours.generate(ids, 24, temperature, seed=seed)
        for temperature, seed in [(1e-4, 1), (2.0, 1), (2.0, 1), (2.0, 2)]
    )
    assert torch.equal(hot, again)
    assert not torch.equal(hot, other)
    assert torch.equal(cold, ours.generate(ids, 24))


def test_samples_are_distributed_as_the_softmax(ours):
    ids = random_ids(1, 6)
    expected = torch.softmax(ours.prefill(ids)[0] / 0.5, dim=-1)
    drawn = ours.generate(ids.expand(4000, -1), 1, 0.5, seed=3)[:, -1]
    counted = torch.bincount(drawn, minlength=len(expected)) / 4000
    assert (counted - expected).abs().max() < 0.04


def test_stats_count_what_was_done(ours):
    stats = ours.generate_with_stats(random_ids(2, 6), 5, lengths=[6, 2]).stats
    assert (stats.prompt_tokens, stats.new_tokens, stats.steps) == (8, 10, 4)
    assert (stats.drafted, stats.accepted, stats.acceptance_length) == (0, 0, 1.0)
    assert stats.depth == "4 layers"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_new_tokens": 0}, "^max_new_tokens: must be an integer of at least 1, got 0"),
        ({"max_new_tokens": 123}, r"max_position_embeddings \(128\) less those, got 123"),
        ({"temperature": -1.0}, "^temperature: must be a finite number of at least 0, got -1.0"),
        ({"temperature": float("nan")}, "^temperature: must be a finite number"),
        ({"eos": -3}, "^eos: must be an integer of at least 0, got -3"),
        ({"seed": "x"}, "^seed: must be an integer"),
        ({"draft_tokens": 2}, "^draft_tokens: must be 0 without an assistant, got 2"),
        ({"draft_tokens": -1}, "^draft_tokens: must be an integer of at least 0, got -1"),
        ({"graph": True}, "^graph: must be false on cpu, CUDA graphs need a CUDA GPU"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(ours, arguments, message):
    with pytest.raises(ValueError, match=message):
        ours.generate(random_ids(1, 6), **{"max_new_tokens": 4, **arguments})
