"""Speculative decoding: the assistant drafts, the target checks the draft in one pass and keeps what it agrees with.

The target chooses a token at every position as it would without a draft, and a draft counts as far as it equals
those choices (https://arxiv.org/abs/2211.17192 in its simplest form), so greedy output is that of plain decoding and
sampled output is distributed as that of plain decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from workbench.models.gemma4.assistant import Gemma4Assistant
from workbench.models.gemma4.generation import (
    DecodingModel,
    Generation,
    Request,
    Select,
    finish,
    lengths_to_end,
)
from workbench.models.gemma4.graph import captured
from workbench.models.gemma4.kv_cache import StaticKVCache
from workbench.models.gemma4.passes import Rotations, draft_pass, positions_held
from workbench.models.gemma4.rope import rotation_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafter:
    """Drafts K tokens for each sequence of a cache.

    Attributes:
        target: whose embedding and cache are read.
        cache: the target's.
        rotations: the assistant's tables, for all positions of the cache.
        draft_tokens: K.
    """

    target: DecodingModel
    assistant: Gemma4Assistant
    cache: StaticKVCache
    rotations: Rotations
    draft_tokens: int

    def __call__(self, token: Tensor, state: Tensor) -> Tensor:
        """Drafts greedily, without host synchronisation.

        Args:
            token: int64 [B, 1], the last token of each sequence, not in the cache yet.
            state: [B, 1, H], the target's hidden state that the token was chosen from.

        Returns:
            int64 [B, K].
        """
        text, lengths = self.assistant.config.text, self.cache.lengths
        held = positions_held(self.target.config, self.cache)
        inputs = draft_pass(text, self.rotations, held, lengths, lengths)
        # Layers of a type follow one another, so that the last one of it is what stays.
        caches = dict(zip(self.target.config.layer_types, self.cache.layers, strict=True))
        drafted = []
        for _ in range(self.draft_tokens):
            embeds = torch.cat([self.target.model.embed(token), state], dim=-1)
            logits, state = self.assistant.step(embeds, inputs, caches)
            token = logits.argmax(dim=-1)
            drafted.append(token)
        return torch.cat(drafted, dim=1)


@dataclass(slots=True)
class DraftProgress:
    """Where each of B sequences stands; its last token is chosen but not in the cache.

    Attributes:
        new: int64 [B, room for more than N], chosen tokens, and beyond `count` whatever was tried.
        count: int64 [B], tokens chosen.
        token: int64 [B, 1], the last of them.
        state: [B, 1, H], the hidden state that it was chosen from.
        done: bool [B], whether the sequence is complete.
        limit: N, tokens that a sequence gets.
        ends: ids that end a sequence.
        gained: int64 scalar, tokens that all steps gave.
        turns: int64 scalar, pairs of a step and a sequence that it could give tokens to.
    """

    new: Tensor
    count: Tensor
    token: Tensor
    state: Tensor
    done: Tensor
    limit: int
    ends: Tensor
    gained: Tensor
    turns: Tensor

    @classmethod
    def begin(cls, request: Request, token: Tensor, state: Tensor) -> DraftProgress:
        """After the prefill, which gives the first token."""
        batch = token.shape[0]
        room = request.max_new_tokens + request.draft_tokens + 1
        new = token.new_zeros(batch, room)
        new[:, :1] = token
        zero = token.new_zeros(())
        limit, ends = request.max_new_tokens, request.ends()
        done = torch.isin(token[:, 0], ends) | (limit == 1)
        return cls(new, token.new_ones(batch), token, state, done, limit, ends, zero, zero)

    def advance(self, chosen: Tensor, hidden: Tensor, agreed: Tensor) -> Tensor:
        """Takes what a step gave.

        Args:
            chosen: int64 [B, K + 1], the target's choices.
            hidden: [B, K + 1, H], what they were chosen from.
            agreed: int64 [B], drafted tokens that equal the choices, from the first on.

        Returns:
            int64 [B], the tokens that each sequence gained.
        """
        columns = self.count[:, None] + torch.arange(chosen.shape[1], device=chosen.device)
        self.new.scatter_(1, columns, chosen)
        gained = torch.minimum(agreed + 1, lengths_to_end(chosen, self.ends))
        gained = torch.minimum(gained, self.limit - self.count).masked_fill(self.done, 0)
        last = (gained - 1).clamp(min=0)[:, None]
        moved = (gained > 0)[:, None]
        rows = torch.arange(len(last), device=last.device)[:, None]
        self.token = torch.where(moved, chosen.gather(1, last), self.token)
        self.state = torch.where(moved[..., None], hidden[rows, last], self.state)
        self.gained, self.turns = self.gained + gained.sum(), self.turns + moved.sum()
        self.count = self.count + gained
        self.done = torch.isin(self.token[:, 0], self.ends) | (self.count >= self.limit)
        return gained


def generate_speculatively(model: DecodingModel, assistant: Gemma4Assistant, request: Request) -> Generation:
    """Runs a request with an assistant.

    Raises:
        ValueError: the assistant is not one for this model; names the field and both values.
    """
    assistant.config.check_fits(model.config)
    batch, width = request.ids.shape
    cache = model.new_cache(batch, width + request.max_new_tokens, draft_tokens=request.draft_tokens)
    select = request.select()
    state = model.start(request.ids, request.lengths, cache)[:, None]
    progress = DraftProgress.begin(request, select(model.logits(state)), state)
    draft = make_drafter(model, assistant, cache, request, (progress.token, progress.state))
    check: Callable[[Tensor], tuple[Tensor, Tensor]] = captured(
        partial(model.step, cache=cache),
        progress.new[:, : request.draft_tokens + 1],
        enabled=request.captures,
    )
    steps = 0
    while not bool(progress.done.all()):
        drafted = draft(progress.token, progress.state)
        cache.lengths += check_draft(progress, drafted, check, select)
        steps += 1
    new = _repeat_ends(progress.new[:, : request.max_new_tokens], progress.ends)
    gained, turns = int(progress.gained), int(progress.turns)
    return finish(
        model,
        request,
        new,
        steps=steps,
        drafted=turns * request.draft_tokens,
        acceptance=(gained, turns) if steps else None,
    )


def make_drafter(
    model: DecodingModel,
    assistant: Gemma4Assistant,
    cache: StaticKVCache,
    request: Request,
    examples: tuple[Tensor, Tensor],
) -> Callable[[Tensor, Tensor], Tensor]:
    """The drafter of a request, captured where the request is; takes what `Drafter` takes."""
    drafter = Drafter(
        target=model,
        assistant=assistant,
        cache=cache,
        rotations=rotation_tables(
            assistant.config.text, cache.max_tokens, device=model.device, dtype=model.dtype
        ),
        draft_tokens=request.draft_tokens,
    )
    return captured(drafter, *examples, enabled=request.captures)


def check_draft(
    progress: DraftProgress,
    drafted: Tensor,
    check: Callable[[Tensor], tuple[Tensor, Tensor]],
    select: Select,
) -> Tensor:
    """Checks a draft and keeps what the target agrees with; returns the tokens gained, int64 [B]."""
    logits, hidden = check(torch.cat([progress.token, drafted], dim=1))
    chosen = select(logits)
    agreed = (drafted == chosen[:, :-1]).long().cumprod(dim=1).sum(dim=1)
    return progress.advance(chosen, hidden, agreed)


def _repeat_ends(new: Tensor, ends: Tensor) -> Tensor:
    """Puts the end that a sequence met into all columns after it."""
    last = lengths_to_end(new, ends)[:, None] - 1
    after = torch.arange(new.shape[1], device=new.device) > last
    return torch.where(after, new.gather(1, last), new)
