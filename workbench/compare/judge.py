"""Judges ratios: a regression is beyond its limit and has an interval that leaves out no change at all.

The intervals hold together: with N figures that count, each is made at 1 - 0.05 / N (Bonferroni), so that a comparison
of two equal things fails in less than 5 of 100 cases however many rows it has. They are intervals of ln(B / A), from
Student's t with the degrees of freedom of B. L. Welch (Biometrika 34, 1947).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from workbench.compare.comparison import Judged, Verdict
from workbench.compare.entry import GateMetric
from workbench.compare.ratios import LEAST_FOR_MEAN, LogRatio, MetricRatios

CONFIDENCE = 0.95


def judge(families: Sequence[MetricRatios]) -> tuple[Judged, ...]:
    """Every figure with its verdict, and of each metric that counts the geometric mean over rows."""
    tests = max(1, sum(family.tests for family in families))
    judged = []
    for family in families:
        counted = [ratio for ratio in family.ratios if ratio.counts and ratio.testable]
        if len(counted) >= LEAST_FOR_MEAN:
            judged.append(_mean(family, counted, tests))
        judged += [_judged(family, ratio, tests) for ratio in family.ratios]
    return tuple(judged)


def _judged(family: MetricRatios, ratio: LogRatio, tests: int) -> Judged:
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


def _mean(family: MetricRatios, ratios: Sequence[LogRatio], tests: int) -> Judged:
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
    metric: GateMetric,
    label: str,
    values: tuple[float | None, float | None],
    log: float | None,
    reach: float | None,
    counts: bool,
    timed: bool,
) -> Judged:
    low, high = _interval(log, reach) if timed else (None, None)
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


def _interval(log: float | None, reach: float | None) -> tuple[float | None, float | None]:
    if log is None or reach is None:
        return None, None
    return math.expm1(log - reach), math.expm1(log + reach)


def _word(
    metric: GateMetric, change: float | None, low: float | None, high: float | None, timed: bool
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
