"""What a generation is: its request, its result, and what it needs of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workbench.models.gemma4.checks import check_boolean, check_integer
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.kv_cache import StaticKVCache
from workbench.models.gemma4.text_model import Gemma4TextModel

# Takes logits [..., V], gives the chosen ids [...].
Select = Callable[[Tensor], Tensor]


class DecodingModel(Protocol):
    """What generation needs of a language model; see `Gemma4ForCausalLM`."""

    config: Gemma4Config
    model: Gemma4TextModel

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        ...

    def new_cache(self, batch: int, max_tokens: int, *, draft_tokens: int = 0) -> StaticKVCache:
        """An empty cache."""
        ...

    def start(self, ids: Tensor, lengths: Tensor, cache: StaticKVCache) -> Tensor:
        """Reads prompts; the normalised hidden state after the last token of each, [B, H]."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of normalised hidden states [..., H]."""
        ...

    def step(self, tokens: Tensor, cache: StaticKVCache) -> tuple[Tensor, Tensor]:
        """Logits [B, S, V] and normalised hidden states [B, S, H] of the next tokens."""
        ...


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


def finish(
    model: DecodingModel,
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
