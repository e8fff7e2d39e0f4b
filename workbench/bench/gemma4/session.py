"""Sessions of the decode model: one arm on one batch, token by token or draft by draft."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from workbench.base.ranges import in_range
from workbench.bench.engine import EngineStep
from workbench.models.gemma4 import Gemma4Assistant, Gemma4ForCausalLM
from workbench.models.gemma4.arms import find_arm, running
from workbench.models.gemma4.generation import Request
from workbench.models.gemma4.graph import captured
from workbench.models.gemma4.kv_cache import StaticKVCache
from workbench.models.gemma4.speculative import DraftProgress, check_draft, make_drafter


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a session runs.

    Attributes:
        cache: with room for prompts, answers and drafts; other sessions may use it between two runs.
    """

    model: Gemma4ForCausalLM
    arm: str
    cache: StaticKVCache
    input_tokens: int
    output_tokens: int
    graph: bool


class _GreedySession:
    """Draws prompts, reads them, and takes the likeliest tokens."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._model, self._cache, self._device = load.model, load.cache, load.model.device

    @contextmanager
    def run(self, seed: int) -> Iterator[None]:
        """Draws prompts of random tokens, the same ones for a seed, and has the model run this arm within the block.

        Once a run and not once a step: finding the modules of an arm among hundreds takes longer than a step may.
        """
        generator = torch.Generator().manual_seed(seed)
        shape = (self._cache.batch, self._load.input_tokens)
        ids = torch.randint(self._model.config.vocab_size, shape, generator=generator)
        self._ids = ids.to(self._device)
        self._lengths = torch.full(shape[:1], shape[1], device=self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._synchronise()
        with running(self._model, find_arm(self._load.arm)):
            yield

    @torch.inference_mode()
    def prefill(self) -> Sequence[int]:
        """Reads the prompts; each sequence gets its first token."""
        self._begin(self._model.start(self._ids, self._lengths, self._cache))
        self._synchronise()
        return [1] * self._cache.batch

    def peak_memory_bytes(self) -> int | None:
        """The most that torch had allocated, None on a CPU."""
        if self._device.type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self._device))

    def _begin(self, hidden: Tensor) -> None:
        raise NotImplementedError

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class PlainSession(_GreedySession):
    """A token of each sequence a step."""

    @torch.inference_mode()
    def __init__(self, load: Load) -> None:
        super().__init__(load)
        token = torch.zeros(load.cache.batch, 1, dtype=torch.int64, device=load.model.device)
        with running(load.model, find_arm(load.arm)):
            self._step: Callable[..., tuple[Tensor, Tensor]] = captured(
                partial(load.model.step, cache=load.cache), token, enabled=load.graph
            )

    def _begin(self, hidden: Tensor) -> None:
        self._token = self._model.logits(hidden).argmax(dim=-1)[:, None]

    @torch.inference_mode()
    def step(self) -> EngineStep:
        """Decodes a token."""
        logits, _ = self._step(self._token)
        self._cache.lengths += 1
        self._token = logits.argmax(dim=-1)
        self._synchronise()
        return EngineStep((1,) * self._cache.batch)


class DraftSession(_GreedySession):
    """A draft a step, of which each sequence keeps what the model agrees with, and one token more.

    Args:
        load: what is run.
        assistant: drafts.
        draft_tokens: K, tokens of a draft.
    """

    @torch.inference_mode()
    def __init__(self, load: Load, assistant: Gemma4Assistant, draft_tokens: int) -> None:
        super().__init__(load)
        batch, model = load.cache.batch, load.model
        self._draft_tokens = draft_tokens
        token = torch.zeros(batch, 1, dtype=torch.int64, device=model.device)
        state = torch.zeros(batch, 1, model.config.hidden_size, dtype=model.dtype, device=model.device)
        self._request = Request(
            ids=token,
            lengths=token[:, 0] + 1,
            max_new_tokens=load.output_tokens,
            draft_tokens=draft_tokens,
            graph=load.graph,
        )
        self._select = self._request.select()
        # Whatever an empty cache would have attention do, no run does it.
        load.cache.lengths.fill_(1)
        with running(model, find_arm(load.arm)):
            drafter = make_drafter(model, assistant, load.cache, self._request, (token, state))
            check: Callable[[Tensor], tuple[Tensor, Tensor]] = captured(
                partial(model.step, cache=load.cache),
                token.expand(-1, draft_tokens + 1).contiguous(),
                enabled=load.graph,
            )
        self._draft, self._check = in_range("draft", drafter), in_range("verify", check)

    def _begin(self, hidden: Tensor) -> None:
        state = hidden[:, None]
        self._progress = DraftProgress.begin(self._request, self._select(self._model.logits(state)), state)

    @torch.inference_mode()
    def step(self) -> EngineStep:
        """Drafts, and checks the draft."""
        progress = self._progress
        running_before = ~progress.done
        drafted = self._draft(progress.token, progress.state)
        gained = check_draft(progress, drafted, self._check, self._select)
        self._cache.lengths += gained
        # Reading them waits for the device.
        tokens, drafts = tuple(gained.tolist()), int(running_before.sum())
        accepted = sum(tokens) - drafts
        return EngineStep(tokens, drafted=drafts * self._draft_tokens, accepted=accepted, drafts=drafts)
