import numpy as np
import pytest
from scipy.stats import binom

from workbench.ranking.board import boards
from workbench.ranking.cost import START, CostModel
from workbench.ranking.workload import Tiles, Workload

H200 = boards()["NVIDIA_H200"]


def workload(tokens=16, **changes):
    shape = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704}
    return Workload(**{**shape, "tokens": tokens, **changes})


def tiles(*rows):
    return Tiles(*np.asarray(rows, dtype=float).T)


CONFIGS = tiles((16, 64, 128, 1, 4, 3), (64, 128, 64, 1, 4, 3), (128, 128, 64, 1, 8, 4))


def ln_us(*workloads, board=H200, configs=CONFIGS):
    return CostModel(workloads, [board] * len(workloads), configs).ln_us()


@pytest.mark.parametrize(("tokens", "block"), [(1, 16), (40, 16), (700, 64)])
def test_expected_blocks_are_those_of_the_binomial_distribution(tokens, block):
    model = CostModel([workload(tokens)], [H200], tiles((block, 64, 64, 1, 4, 3)))
    counts = np.arange(tokens + 1)
    expected = 128 * (np.ceil(counts / block) * binom.pmf(counts, tokens, 8 / 128)).sum()
    assert model._blocks_m[0, 0] == pytest.approx(expected, rel=1e-9)


def test_more_tokens_never_cost_less():
    costs = ln_us(*(workload(2**power) for power in range(15)))
    assert (np.diff(costs, axis=0) > -1e-9).all()


def test_a_wider_layer_costs_more():
    narrow, wide = ln_us(workload(), workload(intermediate_size=1408))
    assert (wide > narrow).all()


def test_groups_make_no_difference():
    first, second = ln_us(workload(), configs=tiles((16, 64, 128, 1, 4, 3), (16, 64, 128, 64, 4, 3)))[0]
    assert first == second


def test_one_token_wastes_large_blocks_on_padding():
    small, _, large = ln_us(workload(1))[0]
    assert small < large


def test_each_workload_may_have_configs_of_its_own():
    together = CostModel(
        [workload(1), workload(512)],
        [H200, H200],
        Tiles(*(np.stack([each, each[::-1]]) for each in CONFIGS.columns())),
    ).ln_us()
    apart = ln_us(workload(1), workload(512))
    np.testing.assert_allclose(together, [apart[0], apart[1][::-1]], rtol=1e-12)


def test_the_constants_count():
    slow = {**START, "dram": START["dram"] / 4}
    model = CostModel([workload(64)], [H200], CONFIGS)
    assert (model.ln_us(slow) > model.ln_us(START)).all()
