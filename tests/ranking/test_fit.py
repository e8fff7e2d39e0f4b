import numpy as np
import pytest

from workbench.base.errors import InputError
from workbench.ranking import fit as module
from workbench.ranking.board import boards
from workbench.ranking.choices import Choice, choices_of, launchable, linked
from workbench.ranking.cost import START, CostModel
from workbench.ranking.fit import fit, fit_constants
from workbench.ranking.grid import GRID, grid_tiles
from workbench.ranking.judge import Worth, place
from workbench.ranking.tables import TableWinners
from workbench.ranking.workload import Workload

H200, B200 = boards()["NVIDIA_H200"], boards()["NVIDIA_B200"]


def a_choice(tokens, winner, board=H200, experts=64):
    workload = Workload(num_experts=experts, top_k=8, hidden_size=2048, intermediate_size=768, tokens=tokens)
    legal = launchable(workload, board)
    return Choice(workload, board, np.concatenate([[winner], legal[legal != winner]]), None, 1.0, "made up")


def winners_that_like(block_k, tokens_of):
    """Configs with this BLOCK_SIZE_K, all else drawn, and small blocks for few tokens."""
    random = np.random.default_rng(0)
    liked = [
        row for row, config in enumerate(GRID) if config[2] == block_k and config[0] <= 32 and config[1] <= 64
    ]
    return [a_choice(tokens, int(random.choice(liked))) for tokens in tokens_of]


def test_a_planted_preference_is_recovered():
    choices = winners_that_like(256, [1, 2, 4, 8, 16] * 12)
    ranker = fit(choices[:40], constants=START)
    best = np.argsort(ranker.scores([choices[-1].workload], [H200], grid_tiles())[0])[:20]
    assert all(GRID[row][2] == 256 for row in best)
    assert Worth.of(place(ranker, choices[40:])).within[0] >= 90
    assert (
        Worth.of(place(fit(winners_that_like(64, [1, 4, 16] * 12), constants=START), choices[40:])).within[0]
        < 20
    )


def test_a_planted_constant_is_recovered():
    random = np.random.default_rng(1)
    truth = {**START, "tile_latency_us": START["tile_latency_us"] * 6}
    choices = []
    for tokens in random.integers(1, 64, 80):
        choice = a_choice(int(tokens), 0)
        costs = CostModel([choice.workload], [H200], grid_tiles()).ln_us(truth)[0][choice.candidates]
        choices.append(
            a_choice(int(tokens), int(choice.candidates[np.argmin(costs + random.gumbel(0, 0.01))]))
        )
    assert fit_constants(choices)["tile_latency_us"] > 1.3 * START["tile_latency_us"]


def test_a_fit_is_the_same_twice():
    choices = winners_that_like(128, [1, 8, 64])
    np.testing.assert_array_equal(fit(choices).weights, fit(choices).weights)


def test_the_gradient_is_that_of_the_loss():
    problem = module._Weights(winners_that_like(128, [1, 8, 64]), START)
    values = np.random.default_rng(0).normal(0, 0.3, problem.size + 1)
    values[-1] = 10
    _, gradient = problem.loss(values)
    for place_ in (0, problem.size // 2, problem.size):
        step = np.zeros_like(values)
        step[place_] = 1e-2
        slope = (problem.loss(values + step)[0] - problem.loss(values - step)[0]) / 2e-2
        assert gradient[place_] == pytest.approx(slope, abs=2e-3)


def test_there_must_be_something_to_learn_from():
    with pytest.raises(InputError, match="no row to learn from"):
        fit([])


def a_table(board=H200, experts=64, size=768, rows=None, dtype="bf16", block_scaled=False):
    return TableWinners(
        source="made up",
        board=board,
        num_experts=experts,
        intermediate_size=size,
        dtype=dtype,
        block_scaled=block_scaled,
        rows=rows or {1: 0},
    )


def test_a_winner_that_cannot_launch_is_left_out():
    too_large = GRID.index((256, 256, 256, 1, 8, 5))
    assert [choice.winner for choice in choices_of([a_table(rows={1: too_large, 2: 0})])] == [0]


def test_tables_of_8_bits_count_only_where_others_are_few():
    weights = {
        (board.name, dtype): choices_of([a_table(board, dtype=dtype)])[0].weight
        for board in (H200, boards()["NVIDIA_L40S"])
        for dtype in ("bf16", "fp8_w8a8")
    }
    assert weights["NVIDIA_H200", "fp8_w8a8"] == 0
    assert 0 < weights["NVIDIA_L40S", "fp8_w8a8"] < weights["NVIDIA_L40S", "bf16"]


def test_tables_that_could_tell_of_each_other_are_linked():
    tables = [
        a_table(rows={1: 0}),
        a_table(rows={1: 5}, dtype="fp8_w8a8"),
        a_table(B200, rows={1: 7}),
        a_table(B200, size=96, rows={1: 7}),
        a_table(B200, size=192, rows={1: 9}),
    ]
    first, same_shape, other_gpu, same_rows, alone = linked(tables, lambda board: board.name)
    assert first == same_shape
    assert other_gpu == same_rows
    assert len({first, other_gpu, alone}) == 3


def test_half_of_the_ties_count():
    choice = a_choice(1, 0)
    ranker = fit(winners_that_like(128, [1, 8]), constants=START)
    blind = type(ranker)(START, 1.0, ranker.weights * 0)
    (placing,) = place(blind, [choice])
    scores = blind.scores([choice.workload], [H200], grid_tiles())[0]
    among = scores[choice.candidates]
    ties = np.count_nonzero(among == scores[0]) - 1
    assert ties >= 3
    assert placing.rank == (among < scores[0]).sum() + ties / 2
