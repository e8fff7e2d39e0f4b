from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.bench.figures import of_mean, of_quantile, of_repeats, reciprocal, single

positive = st.floats(1e-3, 1e6)


@given(st.lists(positive, min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_its_interval_and_is_numpys(values, quantile):
    figure = of_quantile(values, quantile)
    assert figure.value == pytest.approx(np.quantile(values, quantile))
    assert figure.n == len(values)
    if figure.interval is not None:
        assert figure.low <= figure.value <= figure.high


def test_the_interval_of_a_quantile_covers_the_true_one_19_times_of_20():
    rng = np.random.default_rng(0)
    drawn = (of_quantile(rng.exponential(size=200), 0.5) for _ in range(1000))
    covered = sum(figure.low <= np.log(2) <= figure.high for figure in drawn)
    assert 930 <= covered <= 985


@pytest.mark.parametrize("quantile, n", [(0.5, 4), (0.99, 300)])
def test_too_few_observations_bound_no_quantile(quantile, n):
    assert of_quantile(range(1, n + 1), quantile).interval is None


def test_repeats_have_the_medians_bootstrap_interval_and_keep_their_samples():
    figure = of_repeats([3.0, 1.0, 2.0])
    assert (figure.value, figure.n, figure.spread, figure.samples) == (2.0, 3, "bootstrap", (3.0, 1.0, 2.0))
    assert 1.0 <= figure.low <= 2.0 <= figure.high <= 3.0


def test_a_single_repeat_has_no_interval():
    assert of_repeats([3.0]).interval is None
    assert of_repeats([3.0]).spread == "none"


def test_a_mean_has_a_normal_interval():
    figure = of_mean(10.0, 2.0, 400)
    assert figure.interval == pytest.approx((10 - 0.196, 10 + 0.196), abs=1e-4)
    assert of_mean(10.0, 0.0, 1).interval is None
    assert of_mean(1.0, 100.0, 4).low == 0.0


def test_a_reciprocal_turns_its_interval_round():
    turned = reciprocal(of_repeats([2.0, 4.0]), 8.0)
    assert turned.interval == (2.0, 4.0)
    assert turned.samples == (4.0, 2.0)
    assert reciprocal(single(4.0), 8.0).value == 2.0


def test_repeats_with_a_zero_have_no_interval():
    assert (of_repeats([0.0, 1.0, 2.0]).value, of_repeats([0.0, 1.0, 2.0]).interval) == (1.0, None)
