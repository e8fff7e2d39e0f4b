"""The default search: what it finds, what it carries over, and what misleads it only for a moment."""

from __future__ import annotations

import time

import numpy as np
import pytest

from moe_kernels.tunable import Parameter
from workbench.search import STRATEGIES, Auto, Known, SeedGroup, SeedRow
from workbench.trials.config_table import ConfigTable

SEEDS = range(3)


def mean_evaluations(helpers, times, make, problem=0, budget=120):
    goal = 1.02 * np.nanmin(times)
    orders = [helpers.drive(make(seed), problem, times, budget, goal=goal) for seed in SEEDS]
    return float(np.mean([helpers.evaluations_to(order, times) for order in orders]))


def test_it_needs_far_fewer_trials_than_random_order(table, helpers):
    times = helpers.times(table, m=48, n=128, warps=2, method="fused")
    auto = mean_evaluations(helpers, times, lambda seed: Auto(helpers.task([table], seed=seed)))
    shuffled = mean_evaluations(
        helpers, times, lambda seed: STRATEGIES["random"](helpers.task([table], seed=seed)), budget=len(table)
    )
    assert auto < 40
    assert auto < shuffled / 3


def test_failing_configs_are_learned_and_left_alone(table, helpers):
    times = helpers.times(table, m=64, n=64)
    times[table.column("num_warps") >= 4] = np.nan
    order = helpers.drive(Auto(helpers.task([table])), 0, times, 60)
    assert times[order].min() == np.nanmin(times) or np.nanmin(times[order]) == np.nanmin(times)
    assert np.isnan(times[order[20:]]).mean() < 0.5 * np.isnan(times).mean()


@pytest.mark.parametrize("outcome", [None, 7.0])
def test_results_that_are_all_alike_do_not_stop_it(table, helpers, outcome):
    order = helpers.drive(Auto(helpers.task([table])), 0, [outcome] * len(table), 70, count=16)
    assert len(set(order)) == 70


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_tiny_tables_are_searched_to_their_end(table, helpers, size):
    tiny = table[:size]
    order = helpers.drive(Auto(helpers.task([tiny])), 0, helpers.times(tiny), 100, count=100)
    assert sorted(order) == list(range(size))


def test_one_result_at_a_time_decides_until_there_are_many(table, helpers):
    strategy = Auto(helpers.task([table]))
    times = helpers.times(table)
    assert len(strategy.ask(0, 100)) == 8
    for row in range(8):
        strategy.tell(0, row, times[row])
    assert len(strategy.ask(0, 100)) == 1
    for row in range(60):
        strategy.tell(0, row, times[row])
    assert len(strategy.ask(0, 100)) == 4


def test_configs_in_flight_are_not_proposed_again_nor_their_neighbours_alone(table, helpers):
    strategy, times = Auto(helpers.task([table])), helpers.times(table)
    helpers.drive(strategy, 0, times, 12)
    in_flight = [row for _ in range(12) for row in strategy.ask(0, 1)]
    assert len(set(in_flight)) == 12
    for row in reversed(in_flight):
        strategy.tell(0, row, times[row])
    assert not set(strategy.ask(0, 1)) & set(in_flight)


def test_a_neighbouring_problem_saves_a_third_of_the_trials(table, helpers):
    here, there = helpers.times(table, m=32, n=128), 3 * helpers.times(table, m=48, n=128)

    def after_the_neighbour(seed):
        strategy = Auto(helpers.task([table, table], seed=seed))
        helpers.drive(strategy, 0, there, 60)
        return strategy

    alone = mean_evaluations(helpers, here, lambda seed: Auto(helpers.task([table], seed=seed)))
    carried = mean_evaluations(helpers, here, after_the_neighbour, problem=1)
    assert carried <= alone * 2 / 3


def test_rows_of_another_gpu_serve_as_a_start(table, helpers):
    here, there = helpers.times(table, m=32, n=128), helpers.times(table, m=48, n=128)
    rows = tuple(SeedRow(config, float(there[row])) for row, config in enumerate(table) if row % 3 == 0)
    seeds = [SeedGroup("another GPU", {"num_tokens": 1, "dtype": "bf16"}, rows)]
    alone = mean_evaluations(helpers, here, lambda seed: Auto(helpers.task([table], seed=seed)))
    seeded = mean_evaluations(helpers, here, lambda seed: Auto(helpers.task([table], seeds=seeds, seed=seed)))
    assert seeded < alone


def test_a_chosen_config_without_a_time_is_tried_first(table, helpers):
    rows = (SeedRow(table[77], None, chosen=True), SeedRow({"block_m": 16}, None, chosen=True))
    strategy = Auto(helpers.task([table], seeds=[SeedGroup("shipped", {"num_tokens": 4}, rows)]))
    assert strategy.foresee(0, 1) == [77]
    assert strategy.ask(0, 1) == [77]


@pytest.mark.parametrize("kind", ["opposite", "unrelated"])
def test_misleading_seeds_cost_only_the_first_few_trials(table, helpers, kind):
    here = helpers.times(table, m=32, n=128)
    there = 1000 / here if kind == "opposite" else np.random.default_rng(0).permutation(here)
    rows = tuple(SeedRow(config, float(there[row])) for row, config in enumerate(table))
    seeds = [SeedGroup("misleading", {"num_tokens": 1, "dtype": "bf16"}, rows)]
    alone = mean_evaluations(helpers, here, lambda seed: Auto(helpers.task([table], seed=seed)))
    misled = mean_evaluations(helpers, here, lambda seed: Auto(helpers.task([table], seeds=seeds, seed=seed)))
    assert misled <= alone + 10


def test_the_best_of_the_model_is_proposed_first_and_a_good_model_saves_trials(table, helpers):
    times = helpers.times(table, m=32, n=128)
    model = np.log(helpers.times(table, m=48, n=128))
    strategy = Auto(helpers.task([table], priors=[model]))
    assert strategy.ask(0, 1) == [int(np.argmin(model))]
    alone = mean_evaluations(helpers, times, lambda seed: Auto(helpers.task([table], seed=seed)))
    modelled = mean_evaluations(
        helpers, times, lambda seed: Auto(helpers.task([table], priors=[model], seed=seed))
    )
    assert modelled < alone


def test_a_wrong_model_drops_no_config(table, helpers):
    times = helpers.times(table, m=32, n=128)
    order = helpers.drive(Auto(helpers.task([table], priors=[-np.log(times)])), 0, times, 120)
    assert helpers.evaluations_to(order, times) <= 60


def test_a_model_without_a_number_for_some_configs_is_used_for_the_others(table, helpers):
    model = np.log(helpers.times(table))
    best = int(np.argmin(model))
    model[::2], model[best] = np.nan, -10
    assert Auto(helpers.task([table], priors=[model])).ask(0, 1) == [best]


def known(spill_bytes):
    return Known(
        modelled_us=None, registers=64, spill_bytes=spill_bytes, shared_bytes=1024, blocks_per_sm=2, waves=1.0
    )


def test_what_the_compiler_says_of_every_config_saves_trials(helpers):
    table, rng = helpers.table(), np.random.default_rng(0)
    spills = np.where(rng.random(len(table)) < 0.6, rng.integers(1, 9, len(table)) * 64, 0)
    times = helpers.times(table) * (1 + np.log1p(spills))

    def informed(seed):
        strategy = Auto(helpers.task([table], seed=seed))
        for row, spill in enumerate(spills):
            strategy.know(0, row, known(int(spill)))
        return strategy

    blind = mean_evaluations(helpers, times, lambda seed: Auto(helpers.task([table], seed=seed)))
    assert mean_evaluations(helpers, times, informed) < 0.8 * blind


def test_a_million_configs_are_searched_in_bounded_time():
    levels = {f"p{index}": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) for index in range(6)}
    codes = np.indices([10] * 6, dtype=np.uint8).reshape(6, -1).T
    table = ConfigTable(levels, codes)
    off = sum((weight + 1) * (codes[:, weight].astype(float) - weight - 2) ** 2 for weight in range(6))
    task_parameters = tuple(Parameter(name, 1) for name in levels)
    from workbench.search import SearchTask

    task = SearchTask(
        parameters=task_parameters,
        problems=({"num_tokens": 1},),
        tables=(table,),
        ladder="num_tokens",
        priors=(None,),
    )
    strategy, order = Auto(task), []
    started = time.process_time()
    while len(order) < 60:
        for row in strategy.ask(0, 1):
            strategy.tell(0, row, float(np.exp(0.05 * off[row])))
            order.append(row)
    assert len(set(order)) == 60
    assert time.process_time() - started < 60
    assert off[order].min() < np.quantile(off, 0.001)
