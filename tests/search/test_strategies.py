from __future__ import annotations

import pytest

from workbench.search import STRATEGIES

CONFIGS = [{"block": block, "warps": warps} for block in range(10) for warps in range(3)]


def ask_all(strategy, count):
    asked = []
    while batch := strategy.ask(count):
        assert len(batch) <= count
        asked += batch
    return asked


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("count", [1, 7, 30, 100])
def test_every_config_is_proposed_once_however_many_are_asked_for(name, count):
    asked = ask_all(STRATEGIES[name](CONFIGS, 0), count)
    assert sorted(asked, key=str) == sorted(CONFIGS, key=str)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_configs_make_no_proposals(name):
    assert list(STRATEGIES[name]([], 0).ask(5)) == []


def test_exhaustive_keeps_the_order_of_the_file_whatever_the_seed():
    assert ask_all(STRATEGIES["exhaustive"](CONFIGS, 1), 4) == CONFIGS


def test_random_is_the_same_for_a_seed_and_another_for_another():
    first, again, other = (ask_all(STRATEGIES["random"](CONFIGS, seed), 4) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert first != CONFIGS


def test_random_begins_alike_whatever_the_budget():
    assert ask_all(STRATEGIES["random"](CONFIGS, 0), 30)[:5] == list(STRATEGIES["random"](CONFIGS, 0).ask(5))
