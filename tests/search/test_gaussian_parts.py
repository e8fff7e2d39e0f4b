from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.search.gaussian.candidates import Neighbours
from workbench.search.gaussian.coordinates import Coordinates
from workbench.search.gaussian.process import Inputs, Observed, Posterior, Prior, _loss, compress
from workbench.search.gaussian.surrogate import expected_improvement

RNG = np.random.default_rng(0)


def make_inputs(n, coordinates=5, features=3):
    x = RNG.random((n, coordinates)).astype(np.float32)
    f = RNG.normal(size=(n, features)).astype(np.float32)
    return Inputs(x, np.array([0, 0, 1, 2, 3]), f, np.array([0, 0, 1]))


def test_the_gradient_is_that_of_the_loss():
    inputs, prior = make_inputs(12), Prior.of(4, 1)
    observed = Observed.of(inputs, RNG.normal(size=12))
    theta = prior.mean + 0.3 * RNG.normal(size=len(prior.mean))
    _, gradient = _loss(theta, observed, prior)
    for index, step in enumerate(np.eye(len(theta)) * 1e-5):
        ahead, behind = (_loss(theta + sign * step, observed, prior)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((ahead - behind) / 2e-5, rel=1e-3, abs=1e-4)


def test_adding_configs_one_by_one_is_conditioning_on_all_of_them():
    inputs, prior, target = make_inputs(40), Prior.of(4, 1), RNG.normal(size=10)
    first = inputs.take(np.arange(6))
    by_one, at_once = Posterior(prior.mean, inputs), Posterior(prior.mean, inputs)
    by_one.condition(first, Observed.of(first, target[:6]))
    for place in range(6, 10):
        by_one.extend(place)
    ten = inputs.take(np.arange(10))
    at_once.condition(ten, Observed.of(ten, target))
    for one, other in zip(by_one.predict(target), at_once.predict(target), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_pending_config_narrows_the_deviation_and_keeps_the_mean():
    inputs, prior, target = make_inputs(30), Prior.of(4, 1), RNG.normal(size=8)
    known = inputs.take(np.arange(8))
    posterior = Posterior(prior.mean, inputs)
    posterior.condition(known, Observed.of(known, target))
    mean, deviation = posterior.predict(target)
    posterior.extend(20)
    believed, narrowed = posterior.predict(np.append(target, np.nan))
    np.testing.assert_allclose(believed, mean, atol=1e-3)
    assert narrowed[20] < 0.5 * deviation[20]


@given(st.lists(st.one_of(st.none(), st.floats(1e-3, 1e6)), min_size=1, max_size=30))
def test_the_target_keeps_the_order_of_the_times_and_puts_failures_last(times):
    target = compress(times)
    assert np.isfinite(target).all()
    valid = [index for index, time in enumerate(times) if time is not None]
    if valid:
        assert all(
            target[valid].max() <= target[index] + 1e-9 for index, time in enumerate(times) if time is None
        )
        ranked = sorted(valid, key=lambda index: times[index])
        assert (np.diff(target[ranked]) >= -1e-9).all()


def test_expected_improvement_orders_candidates_also_where_it_underflows():
    means = np.array([0.0, 1.0, 50.0, 60.0], dtype=np.float32)
    scores = expected_improvement(means, np.full(4, 0.5, dtype=np.float32), 0.0)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) < 0).all()
    assert np.exp(scores[0]) == pytest.approx(0.5 / np.sqrt(2 * np.pi), rel=1e-6)


def test_coordinates_lie_between_0_and_1_and_know_powers_of_two_and_areas(table, helpers):
    coordinates = Coordinates(helpers.task([table]).parameters, table)
    x = coordinates.of_rows(np.arange(len(table)))
    assert x.min() >= 0
    assert x.max() <= 1
    # log2 of three, divisibility of the one with odd factors, three products, binary, category.
    assert coordinates.num_groups == 9
    np.testing.assert_allclose(coordinates.of_configs([table[5], table[99]]), x[[5, 99]], atol=1e-6)


def test_two_unequal_categories_are_at_distance_1(helpers):
    table = helpers.table({"method": ("direct", "split", "fused")}, lambda config: True)
    x = Coordinates(helpers.task([table]).parameters, table).of_rows(np.arange(3))
    distances = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, 1 - np.eye(3), atol=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_neighbours_are_the_legal_configs_that_differ_in_one_or_two_parameters(table, number):
    row = number % len(table)
    differing = (table.codes != table.codes[row]).sum(axis=1)
    assert sorted(Neighbours(table).of(row)) == np.flatnonzero(differing <= 2).tolist()
