"""A figure with its error, from what a file says of it: raw repeats, or an interval.

Errors are standard deviations of ln(value): ratios of times are what is compared, and they are the same for a figure
and for its reciprocal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Z_95 = 1.959963984540054
# From here on the spread is estimated robustly: of fewer samples a median deviation is too noisy itself.
ROBUST_FROM = 12
# A median absolute deviation uses this share of what normal samples tell (its asymptotic efficiency).
MAD_EFFICIENCY = 0.37


@dataclass(frozen=True, slots=True)
class LogEstimate:
    """A figure.

    Attributes:
        value: in its metric's unit.
        error: standard deviation of ln(value); None where the file says nothing of it.
        freedom: degrees of freedom of `error`, infinite where it came as an interval.
    """

    value: float
    error: float | None = None
    freedom: float = math.inf


def with_error(value: float, error: float | None, freedom: float = math.inf) -> LogEstimate:
    """A positive figure with the error of another one; no error for 0 and less, which have no logarithm."""
    return LogEstimate(value, error if value > 0 else None, freedom)


def of_interval(value: float, low: float, high: float, freedom: float = math.inf) -> LogEstimate:
    """A figure with a 95 % interval of its own, taken as normal in ln(value)."""
    if value <= 0 or not 0 < low <= high:
        return LogEstimate(value)
    return LogEstimate(value, (math.log(high) - math.log(low)) / (2 * Z_95), freedom)


def of_samples(samples: Sequence[float]) -> LogEstimate:
    """The median of repeats (at least one) with its error; no error for a single one, or with a 0 among them.

    The variance of the median of n normal samples is sigma^2 * pi / (2n + pi - 2): sigma^2 for n = 1, the well-known
    pi / 2 * sigma^2 / n for many, and within 2 % from three on (of two, the error comes out 10 % too large). Sigma is
    the standard deviation, of many samples 1.4826 times the median absolute deviation, which a few slow ones do not
    move.
    """
    value, n = median(samples), len(samples)
    if n < 2 or min(samples) <= 0:
        return LogEstimate(value)
    sigma, freedom = _spread([math.log(sample) for sample in samples])
    return LogEstimate(value, sigma * math.sqrt(math.pi / (2 * n + math.pi - 2)), freedom)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Standard deviation and its degrees of freedom."""
    n, middle = len(values), median(values)
    deviation = 1.4826 * median(abs(value - middle) for value in values)
    if n >= ROBUST_FROM and deviation > 0:
        return deviation, MAD_EFFICIENCY * (n - 1)
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)), n - 1
