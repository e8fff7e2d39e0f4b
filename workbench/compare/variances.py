"""Variances that few repeats gave, drawn towards what the other rows of the metric show.

The moderated variance of G. K. Smyth (Statistical Applications in Genetics and Molecular Biology 3, 2004, section 6):
the rows' variances are taken as draws from a scaled inverse chi-square; its weight, in degrees of freedom, is what the
spread of their logarithms leaves when that of few repeats is taken off. Rows that are as noisy as each other thus share
one variance, and rows that are not keep theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

LEAST_ROWS = 4
# More is as good as knowing it.
MOST_WEIGHT = 1000.0


def moderated(variances: Sequence[float], freedom: Sequence[float]) -> list[tuple[float, float]]:
    """Each variance with its degrees of freedom, steadied by the others.

    Args:
        variances: one a row, 0 or more; an exact 0 tells nothing of the others.
        freedom: their degrees of freedom, one a row, finite.
    """
    rows = [(value, each) for value, each in zip(variances, freedom, strict=True) if value > 0]
    if len(rows) < LEAST_ROWS:
        return list(zip(variances, freedom, strict=True))
    typical, weight = _prior(rows)
    return [
        ((weight * typical + each * value) / (weight + each), weight + each)
        for value, each in zip(variances, freedom, strict=True)
    ]


def _prior(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The typical variance and its weight."""
    from scipy.special import digamma, polygamma

    logs = [math.log(value) - float(digamma(each / 2)) + math.log(each / 2) for value, each in rows]
    left = variance(logs) - fmean(float(polygamma(1, each / 2)) for _, each in rows)
    weight = 2 * _inverse_trigamma(left) if left > 0 else MOST_WEIGHT
    weight = min(weight, MOST_WEIGHT)
    return math.exp(fmean(logs) + float(digamma(weight / 2)) - math.log(weight / 2)), weight


def _inverse_trigamma(value: float) -> float:
    """Where trigamma, which falls from infinity to 0, is this value; by bisection of ln(x)."""
    from scipy.special import polygamma

    low, high = 1e-4, 1e4
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if polygamma(1, middle) > value else (low, middle)
    return math.sqrt(low * high)
