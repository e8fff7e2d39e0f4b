"""Generation: one token a step, or as many as the target agrees to with an assistant's draft."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.models.gemma4.checks import check_boolean, check_integer
from workbench.models.gemma4.graph import captured

if TYPE_CHECKING:
    from workbench.models.gemma4.assistant import Gemma4Assistant
    from workbench.models.gemma4.model import Gemma4ForCausalLM

# Takes logits [..., V], gives the chosen ids [...].
Select = Callable[[Tensor], Tensor]

# Steps between two looks at whether all sequences have ended; each look waits for the GPU.
STEPS_BETWEEN_LOOKS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to generate; fields as the arguments of `Gemma4ForCausalLM.generate_with_stats`.

    Raises:
        ValueError: names the field that is wrong and what is allowed.
    """

    ids: Tensor
    lengths: Tensor
    max_new_tokens: int
    temperature: float = 0.0
    eos: tuple[int, ...] = ()
    draft_tokens: int = 0
    seed: int | None = None
    graph: bool | None = None

    def __post_init__(self) -> None:
        check_integer("max_new_tokens", self.max_new_tokens, at_least=1)
        check_integer("draft_tokens", self.draft_tokens, at_least=0)
        if type(self.temperature) not in (int, float) or not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature: must be a finite number of at least 0, got {self.temperature!r}")
        for token in self.eos:
            check_integer("eos", token, at_least=0)
        if self.seed is not None:
            check_integer("seed", self.seed, at_least=0)
        if self.graph is not None:
            check_boolean("graph", self.graph)

    @property
    def captures(self) -> bool:
        """Whether the step is captured in a CUDA graph."""
        return self.ids.is_cuda if self.graph is None else self.graph

    def select(self) -> Select:
        """How the next token is chosen."""
        if self.temperature == 0:
            return lambda logits: logits.argmax(dim=-1)
        device = self.ids.device
        generator = None if self.seed is None else torch.Generator(device).manual_seed(self.seed)
        return lambda logits: _draw(logits, self.temperature, generator)

    def ends(self) -> Tensor:
        """The ids that end a sequence, [any number]."""
        return torch.tensor(self.eos, dtype=torch.int64, device=self.ids.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationStats:
    """What a generation took.

    Attributes:
        depth: of the model, as `Gemma4Config.depth`.
        prompt_tokens: of all sequences, without padding.
        new_tokens: of all sequences, up to their end.
        steps: passes of the target after the prefill.
        drafted: tokens that the assistant proposed to sequences that had not ended.
        accepted: those of them that the target agreed with and that were needed.
        acceptance_length: tokens that a sequence gained in a step, on average: 1 without an assistant; None
            where there was no step.
    """

    depth: str
    prompt_tokens: int
    new_tokens: int
    steps: int
    drafted: int = 0
    accepted: int = 0
    acceptance_length: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Generated ids, int64 [B, S + N], and what they took."""

    ids: Tensor
    stats: GenerationStats


def generate(model: Gemma4ForCausalLM, request: Request, assistant: Gemma4Assistant | None) -> Generation:
    """Runs a request, by plain decoding or with the assistant.

    Raises:
        ValueError: the sequences are longer than the model takes, or the assistant is not one for this model.
    """
    width = request.ids.shape[1]
    limit = model.config.max_position_embeddings
    if width + request.max_new_tokens > limit:
        raise ValueError(
            f"max_new_tokens: with {width} tokens of prompt must be up to max_position_embeddings ({limit}) "
            f"less those, got {request.max_new_tokens}"
        )
    if request.draft_tokens and assistant is None:
        raise ValueError(f"draft_tokens: must be 0 without an assistant, got {request.draft_tokens}")
    if assistant is None or not request.draft_tokens:
        return _decode(model, request)
    from workbench.models.gemma4.speculative import generate_speculatively

    return generate_speculatively(model, assistant, request)


def _decode(model: Gemma4ForCausalLM, request: Request) -> Generation:
    batch, width = request.ids.shape
    cache = model.new_cache(batch, width + request.max_new_tokens)
    select, ends = request.select(), request.ends()
    hidden = model.start(request.ids, request.lengths, cache)
    tokens = select(model.logits(hidden))[:, None]
    new, done = [tokens], torch.isin(tokens, ends)
    step = captured(partial(model.step, cache=cache), tokens, enabled=request.captures)
    while len(new) < request.max_new_tokens and not _all_ended(done, len(new), request):
        logits, _ = step(tokens)
        cache.lengths += 1
        tokens = torch.where(done, tokens, select(logits))
        done = done | torch.isin(tokens, ends)
        new.append(tokens)
    steps = len(new) - 1
    new.extend([tokens] * (request.max_new_tokens - len(new)))
    return finish(model, request, torch.cat(new, dim=1), steps=steps)


def _all_ended(done: Tensor, steps: int, request: Request) -> bool:
    looks = not done.is_cuda or steps % STEPS_BETWEEN_LOOKS == 0
    return bool(request.eos) and looks and bool(done.all())


def finish(
    model: Gemma4ForCausalLM,
    request: Request,
    new: Tensor,
    *,
    steps: int,
    drafted: int = 0,
    acceptance: tuple[int, int] | None = None,
) -> Generation:
    """The result of a generation.

    Args:
        model: what generated.
        request: what was asked for.
        new: int64 [B, N], with the end repeated after a sequence's end.
        steps: passes of the target after the prefill.
        drafted: tokens that an assistant proposed.
        acceptance: tokens gained in all steps, and the number of (step, sequence) pairs that gained them; None
            where each gained one.
    """
    gained, turns = acceptance or (1, 1)
    stats = GenerationStats(
        depth=model.config.depth,
        prompt_tokens=int(request.lengths.sum()),
        new_tokens=int(lengths_to_end(new, request.ends()).sum()),
        steps=steps,
        drafted=drafted,
        accepted=gained - turns,
        acceptance_length=gained / turns if steps else None,
    )
    return Generation(ids=torch.cat([request.ids, new], dim=1), stats=stats)


def lengths_to_end(new: Tensor, ends: Tensor) -> Tensor:
    """Tokens [B] of each row [B, N] up to its first end, that included."""
    before = torch.isin(new, ends).long().cumsum(dim=1).roll(1, dims=1)
    before[:, 0] = 0
    return (before == 0).sum(dim=1)


def _draw(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    drawn = torch.multinomial(probabilities.flatten(0, -2), 1, generator=generator)
    return drawn.view(logits.shape[:-1])
