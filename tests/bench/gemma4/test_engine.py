from __future__ import annotations

import gc
import weakref

import pytest
import torch

from moe_kernels.routing import fused_routing, split_routing
from workbench.base.errors import InputError
from workbench.bench.engine import NoEnergy, WallClock
from workbench.bench.gemma4.engine import Gemma4Engine
from workbench.bench.gemma4.models import (
    ModelSource,
    NamedModel,
    find_torch_device,
    open_assistant,
    open_model,
)
from workbench.bench.timing import run_figures, time_run
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM, Gemma4Router

SHAPE = {"batch": 3, "input_tokens": 20, "output_tokens": 8}


@pytest.fixture(scope="module")
def named():
    return open_model(ModelSource(preset="tiny", device=torch.device("cpu")))


@pytest.fixture(scope="module")
def assistant(named):
    return open_assistant(named.model, None, 1)


def decoded(session, seed, steps):
    """The tokens of a plain session, [B, 1 + steps], and its prompts."""
    with session.run(seed):
        session.prefill()
        tokens = [session._token]
        for _ in range(steps):
            session.step()
            tokens.append(session._token)
    return session._ids, torch.cat(tokens, dim=1)


@pytest.mark.parametrize("arm", ["split", "fused", "tuned"])
def test_a_session_decodes_what_generate_does(named, arm):
    with Gemma4Engine(named).open(arm, **SHAPE, draft_tokens=0) as session:
        for seed in (0, 1):
            prompts, tokens = decoded(session, seed, 7)
            assert torch.equal(named.model.generate(prompts, 8)[:, 20:], tokens)


def test_prompts_depend_on_the_seed_alone(named):
    engine = Gemma4Engine(named)
    with (
        engine.open("split", **SHAPE, draft_tokens=0) as one,
        engine.open("fused", **SHAPE, draft_tokens=0) as other,
    ):
        prompts = [decoded(*each, 1)[0] for each in ((one, 5), (other, 5), (other, 6))]
    assert torch.equal(prompts[0], prompts[1])
    assert not torch.equal(prompts[0], prompts[2])


def test_arms_of_a_load_share_a_cache_and_give_it_back(named):
    engine = Gemma4Engine(named)
    with (
        engine.open("split", **SHAPE, draft_tokens=0) as one,
        engine.open("fused", **SHAPE, draft_tokens=0) as other,
    ):
        assert one._cache is other._cache
        cache = weakref.ref(one._cache)
    gc.collect()
    assert cache() is None


def test_each_arm_routes_its_own_way(named, monkeypatch):
    seen = []
    forward = Gemma4Router.forward
    monkeypatch.setattr(
        Gemma4Router, "forward", lambda self, hidden: (seen.append(self.route), forward(self, hidden))[1]
    )
    engine = Gemma4Engine(named)
    with (
        engine.open("split", **SHAPE, draft_tokens=0) as split,
        engine.open("fused", **SHAPE, draft_tokens=0) as fused,
    ):
        decoded(split, 0, 1)
        assert set(seen) == {split_routing}
        seen.clear()
        decoded(fused, 0, 1)
        assert set(seen) == {fused_routing}


@pytest.mark.parametrize("draft_tokens", [1, 3])
def test_drafts_leave_the_tokens_as_they_are(named, assistant, draft_tokens):
    with Gemma4Engine(named, assistant).open("fused", **SHAPE, draft_tokens=draft_tokens) as session:
        timing = timed(session)
        prompts, new = session._ids, session._progress.new[:, :8]
    assert torch.equal(named.model.generate(prompts, 8)[:, 20:], new)
    assert timing.tokens == (8, 8, 8)
    assert timing.drafted == timing.drafts * draft_tokens


def test_an_assistant_that_is_always_right_has_its_drafts_accepted(named, assistant, monkeypatch):
    with Gemma4Engine(named, assistant).open("fused", **SHAPE, draft_tokens=3) as session:
        with session.run(0):
            pass
        answers = named.model.generate(session._ids, 16)[:, 20:]

        def right(token, state):
            return torch.stack([answers[row, at : at + 3] for row, at in enumerate(session._progress.count)])

        session._draft = right
        figures = run_figures(timed(session))
    # Seven tokens after the first, four a step: one draft is cut short by the end.
    assert figures["acceptance_length"] == 3.5


def timed(session):
    return time_run(
        session, batch=3, output_tokens=8, seed=0, timeout_s=60, clock=WallClock(), energy=NoEnergy()
    )


def test_an_unknown_arm_is_refused_by_name(named):
    with (
        pytest.raises(
            InputError, match=r"unknown arm 'fsued'.*did you mean 'fused'.*allowed: split, fused, tuned"
        ),
        Gemma4Engine(named).open("fsued", **SHAPE, draft_tokens=0),
    ):
        pass


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_cut_model_is_called_so_and_takes_drafts(layers):
    named = open_model(ModelSource(preset="tiny", layers=layers, device=torch.device("cpu")))
    assert named.name == f"tiny, {layers} of 6 layers, random weights"
    engine = Gemma4Engine(named, open_assistant(named.model, None, 0), draws_assistant=True)
    with engine.open("fused", **SHAPE, draft_tokens=2) as session:
        assert timed(session).tokens == (8, 8, 8)
    assert any("random" in note for note in engine.about(2))
    assert not any("random" in note for note in engine.about(0))


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"preset": "huge"}, "--model"),
        ({"preset": "tiny", "layers": 7}, "--layers"),
        ({"preset": "tiny", "layers": 0}, "--layers"),
    ],
)
def test_models_that_there_are_not_are_refused_by_option(source, key):
    with pytest.raises(InputError, match=rf"^{key}: "):
        open_model(ModelSource(**source, device=torch.device("cpu")))


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99", ""])
def test_devices_that_there_are_not_are_refused(name):
    with pytest.raises(InputError, match=r"^--device: "):
        find_torch_device(name)


@pytest.mark.gpu
@pytest.mark.parametrize("draft_tokens", [0, 2])
def test_a_captured_session_decodes_what_an_eager_one_does(draft_tokens):
    model = Gemma4ForCausalLM.random(Gemma4Config.preset("tiny"), "cuda", torch.bfloat16)
    named = NamedModel(model, "tiny")
    drafter = open_assistant(model, None, 1)
    found = []
    for graph in (False, True):
        with Gemma4Engine(named, drafter, graph=graph).open(
            "fused", **SHAPE, draft_tokens=draft_tokens
        ) as session:
            timed(session)
            found.append(session._token if not draft_tokens else session._progress.new[:, :8])
            assert session.peak_memory_bytes() > 0
    assert torch.equal(*found)


@pytest.mark.parametrize("draft_tokens", [0, 2])
def test_a_step_looks_for_no_module(named, assistant, monkeypatch, draft_tokens):
    """An arm is entered once a run: finding its modules takes longer than the host may take for a step."""
    walks = []
    modules = type(named.model).modules
    monkeypatch.setattr(type(named.model), "modules", lambda model: walks.append(model) or modules(model))
    with Gemma4Engine(named, assistant).open("split", **SHAPE, draft_tokens=draft_tokens) as session:
        with session.run(0):
            walks.clear()
            session.prefill()
            session.step()
            assert walks == []
        walks.clear()
        timed(session)
        assert 0 < len(walks) <= 2


def test_arms_that_are_open_together_run_as_themselves(named):
    engine = Gemma4Engine(named)
    with (
        engine.open("split", **SHAPE, draft_tokens=0) as split,
        engine.open("fused", **SHAPE, draft_tokens=0) as fused,
    ):
        for session, route in ((split, "split_routing"), (fused, "fused_routing"), (split, "split_routing")):
            with session.run(0):
                routers = [each for each in named.model.modules() if isinstance(each, Gemma4Router)]
                assert {each.route.__name__ for each in routers} == {route}
