from __future__ import annotations

import numpy as np
import pytest

from workbench.base.statistics import Estimate, bootstrap_median, noise_floor, paired_ratios


def test_ratios_are_paired_by_round():
    assert paired_ratios([2.0, 6.0], [1.0, 2.0]).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [1.0, 0.0], [1.0, float("inf")], [-1.0]])
def test_samples_that_are_no_times_are_refused(bad):
    with pytest.raises(ValueError, match="values"):
        bootstrap_median(bad, seed=0)


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="3 rounds cannot be paired with 2"):
        paired_ratios([1, 2, 3], [1, 2])


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(1).lognormal(0.0, 0.1, 31)
    assert bootstrap_median(values, seed=3) == bootstrap_median(values, seed=3)
    assert bootstrap_median(values, seed=3, resamples=50) != bootstrap_median(values, seed=4, resamples=50)


def test_the_interval_holds_the_median_and_narrows_with_more_samples():
    values = np.random.default_rng(2).lognormal(0.0, 0.1, 400)
    few, many = bootstrap_median(values[:20], seed=0), bootstrap_median(values, seed=0)
    assert few.low <= few.median <= few.high
    assert many.relative_half_width < few.relative_half_width / 2


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = [
        estimate.low <= 1.0 <= estimate.high
        for estimate in (
            bootstrap_median(rng.lognormal(0.0, 0.05, 30), seed=0, resamples=400) for _ in range(300)
        )
    ]
    assert 0.90 <= np.mean(covered) <= 0.995


def test_one_outlier_does_not_move_the_median():
    assert bootstrap_median([1.0] * 20 + [50.0], seed=0) == Estimate(1.0, 1.0, 1.0)


def test_half_width_is_relative_to_the_median():
    assert Estimate(median=2.0, low=1.9, high=2.1).relative_half_width == pytest.approx(0.05)


@pytest.mark.parametrize("settings", [{"confidence": 1.0}, {"confidence": 0.0}, {"resamples": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_median([1.0, 2.0], seed=0, **settings)


def test_the_noise_floor_is_the_end_that_is_farther_from_one():
    assert noise_floor(Estimate(1.0, 0.98, 1.01)).floor == pytest.approx(0.02)
    assert noise_floor(Estimate(1.03, 1.02, 1.04)).floor == pytest.approx(0.04)


def test_a_winner_must_clear_the_noise_floor_with_its_whole_interval():
    floor = noise_floor(Estimate(1.0, 0.98, 1.02))
    assert floor.beaten_by(Estimate(0.95, 0.94, 0.97))
    assert not floor.beaten_by(Estimate(0.95, 0.94, 0.985))
    assert not floor.beaten_by(Estimate(1.0, 1.0, 1.0))
