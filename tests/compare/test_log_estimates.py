from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.log_estimates import of_interval, of_samples
from workbench.compare.variances import moderated

POSITIVE = st.floats(1e-3, 1e6)


@pytest.mark.parametrize("n", [3, 5, 9, 16, 64])
def test_the_error_of_a_median_is_what_its_repeats_scatter_by(n):
    draw = np.random.default_rng(0)
    samples = np.exp(draw.normal(0, 0.01, (4000, n)))
    readings = [of_samples(each) for each in samples]
    real = np.std([math.log(each.value) for each in readings])
    claimed = math.sqrt(np.mean([each.error**2 for each in readings]))
    assert claimed == pytest.approx(real, rel=0.12)


@given(samples=st.lists(POSITIVE, min_size=2, max_size=20), scale=POSITIVE)
def test_an_error_does_not_depend_on_the_unit(samples, scale):
    one, other = of_samples(samples), of_samples([scale * each for each in samples])
    assert other.error == pytest.approx(one.error, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("samples", [[1.0], [0.0, 1.0]])
def test_a_single_sample_and_zeros_have_no_error(samples):
    assert of_samples(samples).error is None


@pytest.mark.parametrize("value, low, high", [(0.0, 0.0, 1.0), (1.0, 0.0, 2.0), (1.0, 2.0, 1.0)])
def test_an_interval_that_reaches_0_or_is_upside_down_gives_no_error(value, low, high):
    assert of_interval(value, low, high).error is None


def test_an_interval_is_1_96_errors_to_either_side():
    assert of_interval(1.0, math.exp(-0.0196), math.exp(0.0196)).error == pytest.approx(0.01, rel=1e-3)


def test_rows_as_noisy_as_each_other_share_their_variance():
    draw = np.random.default_rng(0)
    variances = list(draw.chisquare(4, 40) / 4)
    found = moderated(variances, [4.0] * 40)
    assert all(value == pytest.approx(1.0, rel=0.3) for value, _ in found)
    assert min(freedom for _, freedom in found) > 20


def test_rows_that_are_not_keep_their_own():
    draw = np.random.default_rng(0)
    truth = np.exp(draw.normal(0, 3, 40))
    variances = list(truth * draw.chisquare(8, 40) / 8)
    found = moderated(variances, [8.0] * 40)
    assert all(freedom < 9 for _, freedom in found)
    assert np.median([value / own for (value, _), own in zip(found, variances, strict=True)]) < 1.2


@given(variances=st.lists(st.floats(0, 1e3), max_size=30))
def test_a_steadied_variance_lies_between_the_least_and_the_greatest_or_near(variances):
    found = moderated(variances, [4.0] * len(variances))
    assert len(found) == len(variances)
    assert all(math.isfinite(value) and value >= 0 and freedom >= 4 for value, freedom in found)
