"""What every strategy has to hold to, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_kernels.tunable import Parameter
from workbench.base.errors import InputError
from workbench.search import STRATEGIES, SearchTask, SeedGroup, SeedRow
from workbench.trials.config_table import ConfigTable

NAMES = ["exhaustive", "random", "optuna", "auto", "ranked"]


def test_the_strategies_are_those_that_a_sweep_file_may_name():
    assert list(STRATEGIES) == NAMES


@st.composite
def small_tables(draw):
    """A part of a product, in any order, with constant parameters, categories, zeros and floats."""
    levels = [(4,), (0, 1), (1, 2, 3, 48), ("a", "b", "c"), (0.5, 2.0), (0, 2, 7), (8, 16)]
    chosen = draw(st.lists(st.sampled_from(levels), min_size=1, max_size=4))
    codes = np.indices([len(each) for each in chosen]).reshape(len(chosen), -1).T
    kept = draw(st.lists(st.integers(0, len(codes) - 1), min_size=1, max_size=24, unique=True))
    return ConfigTable(
        {f"p{index}": each for index, each in enumerate(chosen)}, codes[kept].astype(np.uint32)
    )


def parameters_of(table):
    kinds = {"numeric": "numeric", "text": "categorical"}
    return tuple(
        Parameter(name, values[0], kinds["text" if isinstance(values[0], str) else "numeric"])
        for name, values in table.levels.items()
    )


def task_of(*tables, seed=0):
    return SearchTask(
        parameters=parameters_of(tables[0]),
        problems=tuple({"num_tokens": 1 + index} for index in range(len(tables))),
        tables=tables,
        ladder="num_tokens",
        priors=(None,) * len(tables),
        seed=seed,
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(table=small_tables(), data=st.data())
def test_every_legal_config_is_proposed_exactly_once_whatever_becomes_of_it(name, table, data):
    strategy = STRATEGIES[name](task_of(table))
    outcomes = st.sampled_from([1.0, 2.5, 40.0, None])
    told = data.draw(st.sets(st.integers(0, len(table) - 1), max_size=3))
    for row in told:
        strategy.tell(0, row, data.draw(outcomes))
    in_flight, asked = [], []
    while batch := strategy.ask(0, count := data.draw(st.integers(1, 9))):
        assert len(batch) <= count
        asked += batch
        in_flight += batch
        data.draw(st.randoms()).shuffle(in_flight)
        while in_flight and data.draw(st.booleans()):
            strategy.tell(0, in_flight.pop(), data.draw(outcomes))
    assert sorted(asked) == sorted(set(range(len(table))) - told)
    assert list(strategy.foresee(0, 3)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_makes_a_search_repeatable(name, table, helpers):
    times = helpers.times(table)
    first, again = (
        helpers.drive(STRATEGIES[name](helpers.task([table], seed=3)), 0, times, 40) for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize("name", ["random", "optuna", "auto"])
def test_another_seed_makes_another_search(name, table, helpers):
    times = helpers.times(table)
    one, other = (
        helpers.drive(STRATEGIES[name](helpers.task([table], seed=seed)), 0, times, 20) for seed in (1, 2)
    )
    assert one != other


def test_exhaustive_keeps_the_order_of_the_table(table, helpers):
    strategy = STRATEGIES["exhaustive"](helpers.task([table]))
    assert strategy.ask(0, 5) == [0, 1, 2, 3, 4]
    strategy.tell(0, 6, None)
    assert strategy.foresee(0, 2) == [5, 7]
    assert strategy.ask(0, 3) == [5, 7, 8]


def test_random_takes_another_order_for_each_problem(table, helpers):
    strategy = STRATEGIES["random"](helpers.task([table, table]))
    assert strategy.ask(0, 20) != strategy.ask(1, 20)


@pytest.mark.parametrize("name", ["exhaustive", "random", "auto"])
def test_what_is_foreseen_holds_what_is_proposed_next_and_proposes_nothing(name, table, helpers):
    times = helpers.times(table)
    strategy = STRATEGIES[name](helpers.task([table]))
    for budget in (3, 20):
        helpers.drive(strategy, 0, times, budget)
        foreseen = strategy.foresee(0, 8)
        assert len(set(foreseen)) == len(foreseen) == 8
        assert strategy.foresee(0, 8) == foreseen


def test_optuna_finds_a_good_config_where_most_of_the_product_is_illegal(helpers):
    sparse = helpers.table(
        allowed=lambda config: config["block_m"] * config["num_warps"] == 192 and config["block_n"] < 64
    )
    times = helpers.times(sparse)
    order = helpers.drive(STRATEGIES["optuna"](helpers.task([sparse])), 0, times, len(sparse))
    assert sorted(order) == list(range(len(sparse)))


def test_optuna_tries_the_winners_of_elsewhere_first(table, helpers):
    times = helpers.times(table)
    winner = table[int(np.argmin(times))]
    seeds = [SeedGroup("another GPU", {"num_tokens": 1}, (SeedRow(winner, None, chosen=True),))]
    strategy = STRATEGIES["optuna"](helpers.task([table, table], seeds=seeds))
    assert table[strategy.ask(0, 1)[0]] == winner
    strategy.tell(0, 5, 1.0)
    assert strategy.ask(1, 1) == [5]


def test_without_optuna_it_is_said_how_to_install_it(monkeypatch, table, helpers):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'moe-workbench\[optuna\]'"):
        STRATEGIES["optuna"](helpers.task([table]))
