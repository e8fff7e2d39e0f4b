"""Our model as lm-evaluation-harness wants it: log-likelihoods of continuations.

Importing this module needs the harness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from torch import Tensor

from workbench.bench.text import Tokenizer
from workbench.models.gemma4 import Gemma4ForCausalLM
from workbench.models.gemma4.arms import find_arm, running

# Padded tokens of one pass: bounds its logits.
PASS_TOKENS = 4096

Scored = tuple[float, bool]
Encoded = tuple[tuple[str, str], list[int], list[int]]


class HarnessModel(TemplateLM):  # type: ignore[misc]
    """A decode model on one arm.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        arm: as what it runs.
    """

    def __init__(self, model: Gemma4ForCausalLM, tokenizer: Tokenizer, arm: str) -> None:
        super().__init__()
        self._model, self._tokens, self._arm = model, tokenizer, arm
        self.max_length = model.config.max_position_embeddings

    @property
    def eot_token_id(self) -> int:
        """What stands before a text that has nothing before it."""
        return self._tokens.start

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The ids of a text, without special tokens."""
        return self._tokens.encode(string)

    def _loglikelihood_tokens(self, requests: list[Encoded], **_: Any) -> list[Scored]:
        pairs = [_fitting(context, wanted, self.max_length) for _, context, wanted in requests]
        # Long ones first: what does not fit into memory shows at once, and neighbours need little padding.
        order = sorted(range(len(pairs)), key=lambda place: -sum(map(len, pairs[place])))
        scores: list[Scored] = [(0.0, True)] * len(pairs)
        for places in _passes(order, pairs):
            for place, score in zip(places, self._score([pairs[each] for each in places]), strict=True):
                scores[place] = score
        return scores

    @torch.inference_mode()
    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[Scored]:
        rows = [(context + wanted)[:-1] for context, wanted in pairs]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        with running(self._model, find_arm(self._arm)):
            logits = self._model(ids.to(self._model.device), [len(row) for row in rows])
        for row, (context, wanted) in enumerate(pairs):
            first = len(context) - 1
            yield _likelihood(logits[row, first : first + len(wanted)], wanted)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihoods of whole texts, in windows of what the model holds, each after its start token."""
        return [
            sum(score for score, _ in self._loglikelihood_tokens(self._windows(*request.args)))
            for request in requests
        ]

    def _windows(self, text: str) -> list[Encoded]:
        ids = self._tokens.encode(text)
        size = self.max_length - 1
        starts = range(0, len(ids), size)
        return [((text, ""), [self._tokens.start], ids[start : start + size]) for start in starts]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Refused: only suites of choices are run."""
        raise NotImplementedError("only multiple-choice and log-likelihood suites are run, not generation")


def _fitting(context: list[int], wanted: list[int], longest: int) -> tuple[list[int], list[int]]:
    """A pair cut on the left, as far as it is longer than the model holds."""
    room = max(1, longest + 1 - len(wanted))
    return context[-room:], wanted[-longest:]


def _passes(order: Sequence[int], pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[list[int]]:
    """Runs of places, each as many as fit into one pass; the first of a run is its longest."""
    run: list[int] = []
    for place in order:
        widest = sum(map(len, pairs[(run or [place])[0]]))
        if run and widest * (len(run) + 1) > PASS_TOKENS:
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _likelihood(logits: Tensor, wanted: Sequence[int]) -> Scored:
    """The log-likelihood of ids under logits [N, V], and whether each is the likeliest."""
    ids = torch.tensor(wanted, device=logits.device)
    logs = torch.log_softmax(logits.float(), dim=-1).gather(1, ids[:, None])
    return float(logs.sum()), bool((logits.argmax(dim=-1) == ids).all())
