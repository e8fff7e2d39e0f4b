"""Judges pairs: a regression is beyond its limit and has an interval that leaves out no change at all.

The intervals hold together: with N figures that count, each is made at 1 - 0.05 / N (Bonferroni), so that a comparison
of two equal things fails in less than 5 of 100 cases however many rows it has. They are intervals of ln(B / A), from
Student's t with the degrees of freedom of B. L. Welch (Biometrika 34, 1947). Where errors come from few repeats, those
of all rows steady each other: the variance is drawn towards the typical one of its metric with the weight of a few
repeats (G. K. Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from workbench.compare.comparison import Judged, Verdict
from workbench.compare.entry import Metric
from workbench.compare.match import Pair
from workbench.compare.reading import Reading

__all__ = ["CONFIDENCE", "Family", "collect", "judge"]

CONFIDENCE = 0.95
# Repeats that the typical variance counts for, and rows that it takes to know it.
PRIOR_FREEDOM = 4.0
LEAST_FOR_PRIOR = 4
# Rows that it takes to tell the spread of a control, and to say something of all rows together.
LEAST_FOR_CONTROL = 6
LEAST_FOR_MEAN = 3
# Rows that it takes to tell a spread by the half of them that agree best, and what makes a standard deviation of that
# half's width: 1 / (2 * 0.6745) of normal values, with 1.4 for the bias of a few (simulated: 1.3 of 22, 1.5 of 10).
LEAST_FOR_HALF = 10
SHORTH_TO_DEVIATION = 1.4 / (2 * 0.6745)


@dataclass(frozen=True, slots=True)
class Ratio:
    """ln(B / A) of one figure.

    Attributes:
        pair: of what.
        a: of A.
        b: of B.
        log: None where one of them is 0.
        variance: of `log`; None where an error is not known.
        freedom: degrees of freedom of the variance.
        counts: whether it can fail the gate.
    """

    pair: Pair
    a: float
    b: float
    log: float | None
    variance: float | None
    freedom: float
    counts: bool

    @property
    def testable(self) -> bool:
        """Whether it has an interval and may be judged."""
        return self.variance is not None and self.log is not None and self.pair.b.timed


@dataclass(frozen=True, slots=True)
class Family:
    """One metric over all rows that have it.

    Attributes:
        metric: which.
        ratios: of the rows.
        inflation: what standard errors are multiplied with, from what the control shows.
    """

    metric: Metric
    ratios: tuple[Ratio, ...]
    inflation: float = 1.0

    @property
    def tests(self) -> int:
        """How many figures of it can fail the gate, the mean of all among them."""
        counted = sum(ratio.counts and ratio.testable for ratio in self.ratios)
        return counted + (counted >= LEAST_FOR_MEAN)


def collect(pairs: Sequence[Pair], metrics: Sequence[Metric]) -> tuple[Family, ...]:
    """The ratios of every metric that both sides have somewhere, where no check failed."""
    families = []
    for metric in metrics:
        ratios = tuple(_ratios(pairs, metric))
        if ratios:
            steady = _paired(ratios) if metric.same_source else _steadied(ratios)
            families.append(Family(metric, steady, _inflation(pairs, metric)))
    return tuple(families)


def _ratios(pairs: Sequence[Pair], metric: Metric) -> Iterator[Ratio]:
    for pair in pairs:
        a, b = pair.a.figures.get(metric.name), pair.b.figures.get(metric.name)
        means_same = pair.a.meanings.get(metric.name) == pair.b.meanings.get(metric.name)
        if a and b and means_same and not (pair.a.failures or pair.b.failures):
            same_source = pair.a.source == pair.b.source
            yield _ratio(pair, a, b, counts=metric.counts and (same_source or not metric.same_source))


def _ratio(pair: Pair, a: Reading, b: Reading, *, counts: bool) -> Ratio:
    log = math.log(b.value / a.value) if a.value > 0 and b.value > 0 else None
    if a.error is None or b.error is None:
        return Ratio(pair, a.value, b.value, log, None, math.inf, counts)
    one, other = a.error**2, b.error**2
    spread = one**2 / a.freedom + other**2 / b.freedom
    freedom = (one + other) ** 2 / spread if spread else math.inf
    return Ratio(pair, a.value, b.value, log, one + other, freedom, counts)


def _steadied(ratios: tuple[Ratio, ...]) -> tuple[Ratio, ...]:
    """Draws the variances that few repeats gave towards the typical one."""
    few = [each.variance for each in ratios if each.variance is not None and math.isfinite(each.freedom)]
    if len(few) < LEAST_FOR_PRIOR:
        return ratios
    typical = fmean(few)
    return tuple(_towards(ratio, typical) for ratio in ratios)


def _towards(ratio: Ratio, typical: float) -> Ratio:
    if ratio.variance is None or not math.isfinite(ratio.freedom):
        return ratio
    freedom = ratio.freedom + PRIOR_FREEDOM
    variance = (ratio.freedom * ratio.variance + PRIOR_FREEDOM * typical) / freedom
    return replace(ratio, variance=variance, freedom=freedom)


def _paired(ratios: tuple[Ratio, ...]) -> tuple[Ratio, ...]:
    """Ratios to something timed in the same rounds are steadier than their times, and no file says by how much.

    The half of the rows that agree best says it: whatever else changed, these did not. Their spread is taken for every
    row where it is less than what the times allow, down to a fifth of that.
    """
    logs = sorted(each.log for each in ratios if each.log is not None)
    if len(logs) < LEAST_FOR_HALF:
        return ratios
    half = len(logs) // 2 + 1
    width = min(logs[place + half - 1] - logs[place] for place in range(len(logs) - half + 1))
    spread = SHORTH_TO_DEVIATION * width
    return tuple(
        each
        if each.variance is None
        else replace(each, variance=min(each.variance, max(spread**2, each.variance / 25)))
        for each in ratios
    )


def _inflation(pairs: Sequence[Pair], metric: Metric) -> float:
    """By how much runs differ beyond what they say themselves: the spread of the control in its own errors, at least 1.

    What shifts all rows alike is no part of it, for a regression may do that.
    """
    same = [pair for pair in pairs if pair.a.source == pair.b.source and pair.b.timed]
    control = Metric(name=metric.control) if metric.control else None
    shifts = [
        each.log / math.sqrt(each.variance)
        for each in (_ratios(same, control) if control else ())
        if each.log is not None and each.variance
    ]
    if len(shifts) < LEAST_FOR_CONTROL:
        return 1.0
    middle = median(shifts)
    return max(1.0, 1.4826 * median(abs(shift - middle) for shift in shifts))


def judge(families: Sequence[Family]) -> tuple[Judged, ...]:
    """Every figure with its verdict, and of each metric that counts the geometric mean over rows."""
    tests = max(1, sum(family.tests for family in families))
    judged = []
    for family in families:
        counted = [ratio for ratio in family.ratios if ratio.counts and ratio.testable]
        if len(counted) >= LEAST_FOR_MEAN:
            judged.append(_mean(family, counted, tests))
        judged += [_judged(family, ratio, tests) for ratio in family.ratios]
    return tuple(judged)


def _judged(family: Family, ratio: Ratio, tests: int) -> Judged:
    reach = None
    if ratio.variance is not None:
        reach = _quantile(ratio.freedom, tests) * family.inflation * math.sqrt(ratio.variance)
    return _verdict(
        family.metric,
        ratio.pair.label,
        (ratio.a, ratio.b),
        ratio.log,
        reach,
        ratio.counts,
        ratio.pair.b.timed,
    )


def _mean(family: Family, ratios: Sequence[Ratio], tests: int) -> Judged:
    """The geometric mean of the ratios, with the errors of all rows."""
    variances = [ratio.variance or 0.0 for ratio in ratios]
    total = math.fsum(variances)
    spread = math.fsum(variance**2 / ratio.freedom for variance, ratio in zip(variances, ratios, strict=True))
    freedom = total**2 / spread if spread else math.inf
    reach = _quantile(freedom, tests) * family.inflation * math.sqrt(total) / len(ratios)
    log = fmean(ratio.log or 0.0 for ratio in ratios)
    label = f"all {len(ratios)} rows, geometric mean"
    return _verdict(family.metric, label, (None, None), log, reach, counts=True, timed=True)


def _quantile(freedom: float, tests: int) -> float:
    from scipy.special import ndtri, stdtrit

    tail = (1 - CONFIDENCE) / (2 * tests)
    return float(-ndtri(tail) if math.isinf(freedom) else -stdtrit(freedom, tail))


def _verdict(
    metric: Metric,
    label: str,
    values: tuple[float | None, float | None],
    log: float | None,
    reach: float | None,
    counts: bool,
    timed: bool,
) -> Judged:
    has_interval = log is not None and reach is not None and timed
    low, high = (math.expm1(log - reach), math.expm1(log + reach)) if has_interval else (None, None)
    change = None if log is None else math.expm1(log)
    return Judged(
        label=label,
        metric=metric.name,
        better=metric.better,
        a=values[0],
        b=values[1],
        change=change,
        low=low,
        high=high,
        limit=metric.limit,
        counts=counts,
        shown=metric.counts or metric.shown,
        verdict=_word(metric, change, low, high, timed),
    )


def _word(
    metric: Metric, change: float | None, low: float | None, high: float | None, timed: bool
) -> Verdict:
    if not timed:
        return "not timed"
    if change is None or low is None or high is None:
        return "no interval"
    sign = 1 if metric.better == "lower" else -1
    worst, best = max(sign * low, sign * high), min(sign * low, sign * high)
    if sign * change > metric.limit and best > 0:
        return "regression"
    if sign * change < -metric.limit and worst < 0:
        return "improvement"
    return "same" if -metric.limit <= best and worst <= metric.limit else "unresolved"


def by_metric(judged: Sequence[Judged]) -> Mapping[str, list[Judged]]:
    """Figures by their metric, in order."""
    found: dict[str, list[Judged]] = {}
    for each in judged:
        found.setdefault(each.metric, []).append(each)
    return found
