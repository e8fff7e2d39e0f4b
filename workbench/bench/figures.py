"""A figure with its spread, from what was observed: requests of one run, or repeats of a run.

Three intervals, all of 95 %; the first two assume no distribution:

- Over the requests (or tokens) of one run, a quantile lies between two order statistics, whose ranks follow the
  binomial distribution (W. J. Conover, Practical Nonparametric Statistics, 1999, section 3.2; here its normal
  approximation). It says how well the run resolves the quantile, not how runs differ.
- Over repeats of a run, the percentile bootstrap of their median (`workbench.base.statistics`).
- Of a mean over requests of which only the standard deviation is known: mean +- 1.96 * std / sqrt(n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Spread = Literal["bootstrap", "ranks", "normal", "none"]
Unit = Literal["runs", "requests", "tokens"]

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with what is known of its spread.

    Attributes:
        value: the number, in the unit that its metric's name ends with.
        spread: how its 95 % interval came about; `none` where there is none.
        samples: one value a repeat, in the order in which repeats were taken; empty for imported figures.
    """

    value: float
    n: int
    of: Unit
    spread: Spread = "none"
    low: float | None = None
    high: float | None = None
    samples: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, None where there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def single(value: float, n: int = 1, of: Unit = "runs") -> Figure:
    """A figure of which no spread is known."""
    return Figure(value=value, n=n, of=of)


def reciprocal(figure: Figure, scale: float) -> Figure:
    """A scale over a positive figure, with its interval the other way round."""
    low, high = (scale / end for end in reversed(figure.interval)) if figure.interval else (None, None)
    samples = tuple(scale / sample for sample in figure.samples)
    return replace(figure, value=scale / figure.value, low=low, high=high, samples=samples)


def of_quantile(values: ArrayLike, quantile: float, of: Unit = "requests") -> Figure:
    """A quantile of the observations of one run, with the interval between two order statistics.

    Args:
        values: finite numbers, at least one.
        quantile: between 0 and 1, both excluded.
        of: what an observation is.

    Returns:
        The quantile (linearly interpolated, as NumPy's default); no interval where so few observations cannot
        bound it: a p99 needs about 400.
    """
    import numpy as np

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    value = float(np.quantile(ordered, quantile))
    n = len(ordered)
    reach = Z_95 * math.sqrt(n * quantile * (1 - quantile))
    below, above = math.floor(n * quantile - reach), math.ceil(n * quantile + reach)
    if below < 1 or above > n:
        return single(value, n, of)
    low, high = min(float(ordered[below - 1]), value), max(float(ordered[above - 1]), value)
    return Figure(value=value, n=n, of=of, spread="ranks", low=low, high=high)


def of_mean(mean: float, std: float, n: int) -> Figure:
    """A mean over the requests of one run with its normal interval, from 0; none for a single request."""
    if n < 2:
        return single(mean, n, "requests")
    reach = Z_95 * std / math.sqrt(n)
    return Figure(
        value=mean, n=n, of="requests", spread="normal", low=max(mean - reach, 0.0), high=mean + reach
    )


def of_repeats(samples: Sequence[float], *, seed: int = 0) -> Figure:
    """The median of repeats with its bootstrap interval; no interval for a single one, or with a 0 among them.

    Args:
        samples: finite numbers from 0, one a repeat, at least one.
        seed: of the resampling.
    """
    from workbench.base.statistics import bootstrap_median

    samples = tuple(map(float, samples))
    if len(samples) == 1 or min(samples) <= 0:
        return Figure(value=median(samples), n=len(samples), of="runs", samples=samples)
    estimate = bootstrap_median(samples, seed=seed)
    return Figure(
        value=estimate.median,
        n=len(samples),
        of="runs",
        spread="bootstrap",
        low=estimate.low,
        high=estimate.high,
        samples=samples,
    )
