"""The decode model as an engine: random prompts of one length, a static cache, greedy tokens."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from weakref import WeakValueDictionary

import torch

from workbench.base.version import __version__
from workbench.bench.engine import EngineFacts, Session
from workbench.bench.gemma4.models import NamedModel, slug_of
from workbench.bench.gemma4.session import DraftSession, Load, PlainSession
from workbench.models.gemma4 import Gemma4Assistant
from workbench.models.gemma4.arms import find_arm
from workbench.models.gemma4.kv_cache import StaticKVCache
from workbench.models.gemma4.ranges import mark_parts

ON_CPU = "On a CPU no kernel runs: fused and tuned take the same torch operations."
_RANDOM_ASSISTANT = "The assistant's weights are random: its drafts are accepted by chance."


class Gemma4Engine:
    """Arms of one model; the weights are there once, and so is the cache of a load, which its arms use in turn.

    Args:
        named: the model.
        assistant: drafts, where a workload drafts.
        draws_assistant: whether its weights are random.
        graph: captures the step in a CUDA graph; None does so on a GPU.
    """

    def __init__(
        self,
        named: NamedModel,
        assistant: Gemma4Assistant | None = None,
        *,
        draws_assistant: bool = False,
        graph: bool | None = None,
    ) -> None:
        self._model, self._assistant = named.model, assistant
        mark_parts(self._model)
        if assistant is not None:
            mark_parts(assistant)
        self._draws_assistant = draws_assistant
        self._graph = named.model.device.type == "cuda" if graph is None else graph
        self._caches: WeakValueDictionary[tuple[int, int, int], StaticKVCache] = WeakValueDictionary()
        versions = {"workbench": __version__, "torch": torch.__version__, "triton": version("triton")}
        self._facts = EngineFacts(
            model=named.name, device=slug_of(named.model.device), versions=tuple(versions.items())
        )

    @property
    def facts(self) -> EngineFacts:
        """What rows say of it."""
        return self._facts

    def about(self, draft_tokens: int = 0) -> tuple[str, ...]:
        """What a reader of its figures should know."""
        notes = (ON_CPU,) if self._model.device.type == "cpu" else ()
        return (*notes, _RANDOM_ASSISTANT) if draft_tokens and self._draws_assistant else notes

    @contextmanager
    def open(
        self, arm: str, *, batch: int, input_tokens: int, output_tokens: int, draft_tokens: int
    ) -> Iterator[Session]:
        """Makes an arm ready for a batch.

        Raises:
            InputError: there is no such arm.
            ValueError: the sequences are longer than the model takes, or there is no assistant to draft.
        """
        find_arm(arm)
        load = Load(
            model=self._model,
            arm=arm,
            cache=self._cache(batch, input_tokens + output_tokens, draft_tokens),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            graph=self._graph,
        )
        session = self._session(load, draft_tokens)
        del load
        try:
            yield session
        finally:
            # The runner keeps the session for its figures; what it holds must go.
            vars(session).clear()
            self._give_back()

    def _cache(self, batch: int, tokens: int, draft_tokens: int) -> StaticKVCache:
        key = (batch, tokens, draft_tokens)
        if (cache := self._caches.get(key)) is None:
            cache = self._caches[key] = self._model.new_cache(batch, tokens, draft_tokens=draft_tokens)
        return cache

    def _session(self, load: Load, draft_tokens: int) -> Session:
        if not draft_tokens:
            return PlainSession(load)
        if self._assistant is None:
            raise ValueError(f"draft_tokens: must be 0 without an assistant, got {draft_tokens}")
        return DraftSession(load, self._assistant, draft_tokens)

    def _give_back(self) -> None:
        gc.collect()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
