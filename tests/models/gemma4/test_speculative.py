from __future__ import annotations

import pytest
import torch

from tests.models.gemma4.twins import draw_assistants, draw_models, hf_assistant_config, hf_config, random_ids
from workbench.models.gemma4 import speculative

NEW = 24
LENGTHS = [9, 4, 1]


@pytest.fixture(scope="module")
def pair():
    hf = hf_config()
    return draw_models(hf, 3)[0], draw_assistants(hf_assistant_config(hf), 3)[0]


def drafts_that_are_right_at_times(pair, prompts, lengths):
    """Makes each drafter propose what the target will choose, with errors; how it does so is not looked at."""
    target, _ = pair
    width, errors = prompts.shape[1], torch.Generator().manual_seed(1)
    truth = torch.nn.functional.pad(target.generate(prompts, NEW, lengths=lengths)[:, width:], (0, 9))

    def draft(self, token, state):
        chosen = self.cache.lengths - torch.tensor(lengths) + 1
        columns = chosen[:, None] + torch.arange(self.draft_tokens)
        right = truth.gather(1, columns)
        wrong = torch.rand(right.shape, generator=errors) < torch.tensor([[0.1], [0.4], [0.8]])
        return torch.where(wrong, (right + 1) % target.config.vocab_size, right)

    return draft


@pytest.mark.parametrize("draft_tokens", range(1, 9))
def test_output_is_that_of_greedy_decoding(pair, draft_tokens):
    target, assistant = pair
    ids = random_ids(3, 9)
    greedy = target.generate(ids, NEW, lengths=LENGTHS)
    out = target.generate(ids, NEW, lengths=LENGTHS, assistant=assistant, draft_tokens=draft_tokens)
    assert torch.equal(out, greedy)


@pytest.mark.parametrize(
    ("draft_tokens", "ends"), [*((length, False) for length in range(1, 9)), (1, True), (3, True), (8, True)]
)
def test_output_is_that_of_greedy_decoding_where_sequences_accept_unequally(
    pair, draft_tokens, ends, monkeypatch
):
    target, assistant = pair
    ids = random_ids(3, 9)
    monkeypatch.setattr(speculative.Drafter, "__call__", drafts_that_are_right_at_times(pair, ids, LENGTHS))
    greedy = target.generate(ids, NEW, lengths=LENGTHS)
    eos = [int(greedy[0, 9 + 11]), int(greedy[1, 9 + 17])] if ends else None
    expected = target.generate_with_stats(ids, NEW, lengths=LENGTHS, eos=eos)
    found = target.generate_with_stats(
        ids, NEW, lengths=LENGTHS, eos=eos, assistant=assistant, draft_tokens=draft_tokens
    )
    assert torch.equal(found.ids, expected.ids)
    stats = found.stats
    assert stats.new_tokens == expected.stats.new_tokens
    assert 0 < stats.accepted < stats.drafted
    turns = stats.drafted // draft_tokens
    # The prefill gives each sequence its first token.
    assert stats.accepted + turns == stats.new_tokens - len(LENGTHS)
    assert stats.acceptance_length == pytest.approx(1 + stats.accepted / turns)
    assert stats.steps < NEW - 1 or ends


def test_an_assistant_that_is_always_right_fills_each_step(pair, monkeypatch):
    target, assistant = pair
    ids = random_ids(1, 9)
    truth = target.generate(ids, 31)[0, 9:].tolist() + [0] * 9
    monkeypatch.setattr(
        speculative.Drafter,
        "__call__",
        lambda self, token, state: torch.tensor([truth[(at := int(self.cache.lengths) - 8) : at + 4]]),
    )
    stats = target.generate_with_stats(ids, 31, assistant=assistant, draft_tokens=4).stats
    assert (stats.steps, stats.drafted, stats.accepted, stats.acceptance_length) == (6, 24, 24, 5.0)


def test_the_assistant_reads_what_transformers_gives_it(pair):
    """The first draft of the loop is the one of the standalone call, on the target's keys and values."""
    target, assistant = pair
    ids, lengths = random_ids(2, 9), torch.tensor([9, 4])
    cache = target.new_cache(2, 20, draft_tokens=3)
    with torch.inference_mode():
        state = target.start(ids, lengths, cache)[:, None]
        token = target.logits(state).argmax(-1)
        rotations = speculative.rotation_tables(assistant.config.text, cache.max_tokens)
        drafter = speculative.Drafter(
            target=target, assistant=assistant, cache=cache, rotations=rotations, draft_tokens=3
        )
        drafted = drafter(token, state)
        states = {
            layer_type: (layer.keys.transpose(1, 2), layer.values.transpose(1, 2))
            for layer_type, layer in zip(target.config.layer_types, cache.layers, strict=True)
        }
        for column in range(3):
            inputs = torch.cat([target.model.embed(token), state], dim=-1)
            logits, state = assistant(inputs, states, lengths[:, None], lengths)
            token = logits.argmax(-1)
            assert torch.equal(token[:, 0], drafted[:, column])


def test_sampled_output_does_not_depend_on_the_draft(pair, monkeypatch):
    """Every token is drawn from the target's distribution, whatever was drafted."""
    target, assistant = pair
    ids = random_ids(1, 6).expand(1500, -1)
    greedy = target.generate(ids[:1], 4)[0, 6:]
    monkeypatch.setattr(
        speculative.Drafter, "__call__", lambda self, token, state: greedy[1:3].expand(len(token), -1)
    )
    plain = target.generate(ids, 2, 0.7, seed=1)[:, 7]
    drafted = target.generate(ids, 2, 0.7, seed=2, assistant=assistant, draft_tokens=2)[:, 7]
    counts = [torch.bincount(tokens, minlength=48) / 1500 for tokens in (plain, drafted)]
    assert (counts[0] - counts[1]).abs().max() < 0.06


def test_no_draft_is_plain_decoding(pair):
    target, assistant = pair
    ids = random_ids(1, 5)
    assert torch.equal(target.generate(ids, 6, assistant=assistant), target.generate(ids, 6))
