from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from workbench.bench.gemma4.models import ModelSource, open_model
from workbench.bench.text import ByteTokenizer

pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def model():
    return open_model(ModelSource(preset="tiny", device=torch.device("cpu"))).model


def asked(model, *pairs):
    from workbench.bench.harness.model import HarnessModel

    requests = [SimpleNamespace(args=pair) for pair in pairs]
    return HarnessModel(model, ByteTokenizer(), "split").loglikelihood(requests, disable_tqdm=True)


def by_hand(model, context, continuation):
    ids = list((context + continuation).encode())
    logs = torch.log_softmax(model(torch.tensor([ids]))[0].detach().double(), dim=-1)
    first = len(context.encode())
    return sum(float(logs[place - 1, ids[place]]) for place in range(first, len(ids)))


def test_likelihoods_are_the_models_own_whatever_they_are_batched_with(model):
    pairs = [("one", " two three"), ("A much longer context", " x"), ("b", "c")]
    for (context, continuation), (score, _) in zip(pairs, asked(model, *pairs), strict=True):
        assert math.isclose(score, by_hand(model, context, continuation), abs_tol=1e-3)


def test_what_the_model_would_say_itself_is_greedy(model):
    likeliest = model(torch.tensor([list(b"one two")]))[0, -1, :128].argmax()
    said = chr(int(likeliest))
    (_, greedy), (_, other) = asked(
        model, ("one two", said), ("one two", "\x01" if said != "\x01" else "\x02")
    )
    whole = int(model(torch.tensor([list(b"one two")]))[0, -1].argmax())
    assert greedy == (whole == ord(said))
    assert not other


def test_a_context_longer_than_the_model_holds_is_cut_on_the_left(model):
    (long, _), (short, _) = asked(model, ("y" * 600 + "z" * 600, "a"), ("z" * 512, "a"))
    assert math.isclose(long, short, abs_tol=1e-3)
