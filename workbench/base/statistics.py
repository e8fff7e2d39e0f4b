"""Statistics of paired samples: medians of ratios, their bootstrap intervals and the noise floor of an A/A
run.

Everything here is a pure function of its arguments; what draws at random takes a seed.

Why these (the sources): GPU times drift together and have long right tails, so candidates are compared by the
ratio to a baseline of the same round and summarised by the median, never by the mean or the minimum of
separate runs. The interval is the percentile bootstrap (B. Efron and R. Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13), which assumes no distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median with its interval, in the unit of the values that it was made from.

    Attributes:
        median: the sample median.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    median: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width over the median: (high - low) / (2 * median)."""
        return (self.high - self.low) / (2.0 * self.median)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What an A/A run says about the resolution of a measurement.

    Attributes:
        ratio: time of a config over the time of the very same config, measured as if they were two.
        floor: the smallest relative difference from the baseline that is not noise.
    """

    ratio: Estimate
    floor: float

    def beaten_by(self, ratio: Estimate) -> bool:
        """True where a ratio to the baseline lies below 1 by more than the floor, with its whole interval."""
        return ratio.high < 1.0 - self.floor


def paired_ratios(times: ArrayLike, baseline: ArrayLike) -> Floats:
    """Ratio of each time to the baseline's time of the same round.

    Args:
        times: times of one config, one a round, any unit.
        baseline: times of the baseline in the same rounds, the same unit.

    Raises:
        ValueError: the lengths differ, there is no round, or a time is not a positive finite number.
    """
    above, below = _positive("times", times), _positive("baseline", baseline)
    if above.shape != below.shape:
        raise ValueError(f"times: {above.size} rounds cannot be paired with {below.size} of the baseline")
    return above / below


def bootstrap_median(
    values: ArrayLike, *, seed: int, confidence: float = 0.95, resamples: int = 1000
) -> Estimate:
    """The median with its percentile bootstrap interval.

    Draws `resamples` samples of the same size with replacement, takes the median of each, and reports the
    (1 - confidence) / 2 and (1 + confidence) / 2 quantiles of those medians, widened where needed to hold the
    sample median (a quantile between two order statistics can miss it by a rounding).

    Args:
        values: positive finite samples, any unit.
        seed: of the resampling; the same seed and values give the same interval.
        confidence: between 0 and 1, both excluded.
        resamples: at least 1.

    Raises:
        ValueError: no values, a value that is not positive and finite, or a setting out of range.
    """
    sample = _positive("values", values)
    if not 0.0 < confidence < 1.0 or resamples < 1:
        raise ValueError(f"confidence must be in (0, 1) and resamples >= 1, got {confidence} and {resamples}")
    chosen = np.random.default_rng(seed).integers(0, sample.size, size=(resamples, sample.size))
    medians = np.median(sample[chosen], axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(medians, [tail, 1.0 - tail])
    median = float(np.median(sample))
    return Estimate(median, min(float(low), median), max(float(high), median))


def noise_floor(ratio: Estimate) -> NoiseFloor:
    """The noise floor from the ratios of an A/A run: the end of their interval that is farther from 1.

    floor = max(|low - 1|, |high - 1|): it grows with the spread and with a bias between two equal entries
    alike.
    """
    return NoiseFloor(ratio, max(abs(ratio.low - 1.0), abs(ratio.high - 1.0)))


def _positive(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: needs a list of at least one sample")
    if not bool(np.all(np.isfinite(array) & (array > 0.0))):
        raise ValueError(f"{name}: every sample must be a positive finite number")
    return array
