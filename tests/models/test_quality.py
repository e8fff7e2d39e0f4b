from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.models.quality import Quality, expert_set_mismatch, kl_divergence, quality, top1_agreement

LOGITS = arrays(np.float64, (3, 5), elements=st.floats(-50, 50))


@given(LOGITS)
def test_an_arm_agrees_with_itself(logits):
    assert top1_agreement(logits, logits).all()
    assert kl_divergence(logits, logits) == pytest.approx(0, abs=1e-12)


@given(LOGITS, LOGITS, st.floats(-100, 100))
def test_a_divergence_is_not_negative_and_knows_no_constant(one, other, constant):
    divergence = kl_divergence(one, other)
    assert (divergence >= 0).all()
    assert kl_divergence(one + constant, other) == pytest.approx(divergence, abs=1e-6)


def test_a_divergence_is_that_of_the_distributions():
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.25, 0.5]])
    expected = (p * np.log(p / q)).sum()
    assert kl_divergence(np.log(p), np.log(q)) == pytest.approx(expected)


def test_a_token_without_probability_adds_nothing():
    logits = [[0.0, -np.inf]]
    assert kl_divergence(logits, logits) == pytest.approx(0)


def test_the_most_likely_token_may_be_one_of_several():
    assert top1_agreement([[1.0, 1.0, 0.0]], [[0.0, 1.0, 0.5]]).all()
    assert not top1_agreement([[1.0, 0.0]], [[0.0, 1.0]]).any()


def test_a_tie_that_is_broken_differently_is_no_mismatch():
    logits = [[3.0, 2.0, 2.0, 1.0]]
    assert not expert_set_mismatch([[0, 1]], [[2, 0]], logits).any()
    assert expert_set_mismatch([[0, 1]], [[0, 3]], logits).all()
    assert expert_set_mismatch([[0, 1]], [[1, 2]], logits).all()


def test_a_near_tie_counts_as_one_within_the_tolerance():
    logits = [[3.0, 2.001, 2.0, 1.0]]
    assert expert_set_mismatch([[0, 1]], [[0, 2]], logits).all()
    assert not expert_set_mismatch([[0, 1]], [[0, 2]], logits, tolerance=0.01).any()


@given(st.permutations(range(6)))
def test_the_order_of_experts_does_not_matter(order):
    logits = np.arange(6.0)[None]
    top = [each for each in order if each >= 3]
    assert not expert_set_mismatch([[5, 4, 3]], [top], logits).any()


@pytest.mark.parametrize("other", [[[1.0]], [1.0, 2.0], [[float("nan"), 1.0]]])
def test_logits_that_do_not_fit_are_refused(other):
    with pytest.raises(ValueError, match="logits must"):
        kl_divergence([[1.0, 2.0]], other)


@pytest.mark.parametrize("ids", [[[0, 4]], [[-1, 0]], [[0]]])
def test_ids_that_do_not_fit_are_refused(ids):
    with pytest.raises(ValueError, match="ids must"):
        expert_set_mismatch([[0, 1]], ids, [[1.0, 2.0, 3.0, 4.0]])


def test_a_difference_between_arms_is_judged_by_one_within_an_arm():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(200, 50))
    floor = quality(reference, reference + 1e-3 * rng.normal(size=reference.shape), [False] * 200)
    same = quality(reference, reference, [False] * 200)
    broken = quality(reference, rng.normal(size=reference.shape), [True] * 200)
    assert same.within(floor)
    assert not broken.within(floor)
    assert (same.top1_agreement, same.kl_mean, same.expert_mismatch) == (1.0, pytest.approx(0), 0.0)


def difference(agreement, kl, mismatch):
    return Quality(
        tokens=1000, top1_agreement=agreement, kl_mean=kl, kl_p99=10 * kl, expert_mismatch=mismatch
    )


def test_a_floor_is_the_worst_of_each_figure_with_a_margin():
    floor = difference(0.99, 1e-3, 0.02).floor(difference(0.98, 5e-4, 0.03), margin=2.0)
    assert floor.top1_agreement == pytest.approx(0.96)
    assert (floor.kl_mean, floor.kl_p99, floor.expert_mismatch) == pytest.approx((2e-3, 2e-2, 0.06))


def test_a_floor_of_equal_configs_leaves_room_for_one_token_and_no_more():
    floor = difference(1.0, 0.0, 0.0).floor(resolution=2.0**-23)
    assert difference(0.999, 0.0, 0.001).within(floor)
    assert not difference(0.998, 0.0, 0.0).within(floor)
    assert not difference(1.0, 1e-9, 0.0).within(floor)
