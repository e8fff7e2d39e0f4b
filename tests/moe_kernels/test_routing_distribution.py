from __future__ import annotations

import pytest
import torch

from moe_kernels.registry import TUNABLES
from moe_kernels.routing_distribution import UNIFORM, RoutingDistribution

CPU = torch.device("cpu")
ZIPF = RoutingDistribution(label="zipf:1", kind="zipf")
RECORDED = RoutingDistribution(
    label="recorded:x", kind="recorded", ids=torch.tensor([[3, 1], [0, 2], [5, 4]], dtype=torch.int32)
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def shares(ids, experts):
    return torch.bincount(ids.flatten().long(), minlength=experts).sort(descending=True).values / ids.numel()


@pytest.mark.parametrize("distribution", [UNIFORM, ZIPF])
@pytest.mark.parametrize("tokens, experts, top_k", [(0, 8, 2), (1, 8, 8), (64, 128, 8), (100, 6, 1)])
def test_the_experts_of_a_token_are_distinct_and_in_range(distribution, tokens, experts, top_k):
    ids = distribution.draw_ids(tokens, experts, top_k, CPU)
    assert ids.shape == (tokens, top_k)
    assert ids.dtype == torch.int32
    assert bool(((ids >= 0) & (ids < experts)).all())
    assert all(len(set(row)) == top_k for row in ids.tolist())


def test_uniform_gives_every_expert_its_share():
    found = shares(UNIFORM.draw_ids(20_000, 16, 2, CPU), 16)
    assert found == pytest.approx(torch.full((16,), 1 / 16), abs=0.005)


def test_zipf_follows_the_ranks_where_one_expert_is_drawn():
    weights = 1 / torch.arange(1, 17).float()
    found = shares(ZIPF.draw_ids(50_000, 16, 1, CPU), 16)
    assert found == pytest.approx(weights / weights.sum(), abs=0.01)


def test_recorded_rows_come_in_their_order_from_a_random_one_on():
    ids = RECORDED.draw_ids(7, 6, 2, CPU).tolist()
    rows = RECORDED.ids.tolist()
    start = rows.index(ids[0])
    assert ids == [rows[(start + place) % 3] for place in range(7)]


@pytest.mark.parametrize("experts, top_k", [(5, 2), (6, 3)])
def test_a_recording_of_another_problem_is_refused_with_both_numbers(experts, top_k):
    with pytest.raises(ValueError, match=f"routes to {top_k} of {experts}"):
        RECORDED.draw_ids(4, experts, top_k, CPU)


@pytest.mark.parametrize("distribution", [ZIPF, RECORDED])
def test_the_largest_logits_are_such_a_draw(distribution):
    torch.manual_seed(3)
    logits = distribution.draw_logits(50, 6, 2, CPU)
    ids = logits.topk(2).indices
    if distribution is RECORDED:
        assert {tuple(row) for row in ids.tolist()} == {tuple(row) for row in RECORDED.ids.tolist()}
    else:
        assert shares(ids, 6)[0] > shares(ids, 6)[-1] * 2


def test_a_kernel_under_a_distribution_draws_its_inputs_from_it():
    routing = TUNABLES["routing"]
    problem = {"num_experts": 6, "top_k": 2, "dtype": "fp32", "tokens": 32}
    assert routing.under(UNIFORM) is routing
    inputs = routing.under(RECORDED).make_inputs(problem, CPU)
    _, ids = inputs["logits"].topk(2)
    assert {tuple(row) for row in ids.tolist()} == {tuple(row) for row in RECORDED.ids.tolist()}


def test_inputs_can_be_drawn_without_data():
    problem = {"num_experts": 6, "top_k": 2, "dtype": "fp32", "tokens": 32}
    inputs = TUNABLES["routing"].under(ZIPF).make_inputs(problem, torch.device("meta"))
    assert inputs["logits"].shape == (32, 6)
