"""The ratios of a metric over all rows, with errors that say what runs really differ by.

Where errors come from few repeats, those of all rows steady each other (`workbench.compare.variances`). To each error
that does not cancel comes what whole runs differ by, which no repeats within a run can show; and where a control was
taken beside the figure, its spread tells whether the errors are honest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from workbench.compare.entry import GateMetric
from workbench.compare.log_estimates import LogEstimate
from workbench.compare.match import Pair
from workbench.compare.variances import moderated

# Standard deviation, as a fraction, between whole runs of the same thing; huggingface/transformers#48751 saw 0.3 %
# between interleaved decode runs.
RUN_TO_RUN = 0.003
# Rows that it takes to tell the spread of a control, and to say something of all rows together.
LEAST_FOR_CONTROL = 6
LEAST_FOR_MEAN = 3
# Rows that it takes to tell a spread by the half of them that agree best, and what makes a standard deviation of that
# half's width: 1 / (2 * 0.6745) of normal values, with 1.4 for the bias of a few (simulated: 1.3 of 22, 1.5 of 10).
LEAST_FOR_HALF = 10
SHORTH_TO_DEVIATION = 1.4 / (2 * 0.6745)
# The least share of what the times allow (simulated with throttling: 0 of 60 equal results fail, with 0.2 it is 3).
LEAST_PAIRED = 0.3


@dataclass(frozen=True, slots=True)
class LogRatio:
    """ln(B / A) of one figure.

    Attributes:
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
class MetricRatios:
    """One metric over all rows that have it.

    Attributes:
        inflation: what standard errors are multiplied with, from what the control shows.
    """

    metric: GateMetric
    ratios: tuple[LogRatio, ...]
    inflation: float = 1.0

    @property
    def tests(self) -> int:
        """How many figures of it can fail the gate, the mean of all among them."""
        counted = sum(ratio.counts and ratio.testable for ratio in self.ratios)
        return counted + (counted >= LEAST_FOR_MEAN)


def collect(
    pairs: Sequence[Pair], metrics: Sequence[GateMetric], run_to_run: float = RUN_TO_RUN
) -> tuple[MetricRatios, ...]:
    """The ratios of every metric that both sides have somewhere, where no check failed.

    Args:
        pairs: what is compared.
        metrics: of its kind, as they count.
        run_to_run: standard deviation between whole runs, as a fraction.
    """
    families = []
    for metric in metrics:
        ratios = tuple(_ratios(pairs, metric))
        if ratios:
            steady = _paired(ratios) if metric.paired else _of_runs(_steadied(ratios), run_to_run)
            families.append(MetricRatios(metric, steady, _inflation(pairs, metric, run_to_run)))
    return tuple(families)


def _ratios(pairs: Sequence[Pair], metric: GateMetric) -> Iterator[LogRatio]:
    for pair in pairs:
        a, b = pair.a.figures.get(metric.name), pair.b.figures.get(metric.name)
        means_same = pair.a.meanings.get(metric.name) == pair.b.meanings.get(metric.name)
        if a and b and means_same and pair.sound:
            yield _ratio(pair, a, b, counts=_counts(pair, metric))


def _counts(pair: Pair, metric: GateMetric) -> bool:
    """Whether a metric counts for this pair."""
    if metric.same_source and pair.a.source != pair.b.source:
        return False
    errors = [side.figures.get(metric.instead_of or "", LogEstimate(0.0)).error for side in (pair.a, pair.b)]
    return metric.counts and None in errors


def _ratio(pair: Pair, a: LogEstimate, b: LogEstimate, *, counts: bool) -> LogRatio:
    log = math.log(b.value / a.value) if a.value > 0 and b.value > 0 else None
    if a.error is None or b.error is None:
        return LogRatio(pair, a.value, b.value, log, None, math.inf, counts)
    one, other = a.error**2, b.error**2
    spread = one**2 / a.freedom + other**2 / b.freedom
    freedom = (one + other) ** 2 / spread if spread else math.inf
    return LogRatio(pair, a.value, b.value, log, one + other, freedom, counts)


def _steadied(ratios: tuple[LogRatio, ...]) -> tuple[LogRatio, ...]:
    """Has the rows steady each other's variances, where these come from few repeats."""
    few = [
        place
        for place, each in enumerate(ratios)
        if each.variance is not None and math.isfinite(each.freedom)
    ]
    found = moderated(
        [ratios[place].variance or 0.0 for place in few], [ratios[place].freedom for place in few]
    )
    steadied = list(ratios)
    for place, (variance, freedom) in zip(few, found, strict=True):
        steadied[place] = replace(ratios[place], variance=variance, freedom=freedom)
    return tuple(steadied)


def _paired(ratios: tuple[LogRatio, ...]) -> tuple[LogRatio, ...]:
    """Ratios to something timed in the same rounds are steadier than their times, and no file says by how much.

    The half of the rows that agree best says it: whatever else changed, these did not. Their spread is taken for every
    row where it is less than what the times allow, down to a part of that: rows with a throttled clock scatter more.
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
        else replace(each, variance=min(each.variance, max(spread**2, LEAST_PAIRED**2 * each.variance)))
        for each in ratios
    )


def _of_runs(ratios: tuple[LogRatio, ...], run_to_run: float) -> tuple[LogRatio, ...]:
    """Adds what whole runs differ by, on both sides."""
    return tuple(_of_run(ratio, 2 * run_to_run**2) for ratio in ratios)


def _of_run(ratio: LogRatio, more: float) -> LogRatio:
    """A known variance on top of an estimated one; the degrees of freedom of the sum are Welch's."""
    if not ratio.variance:
        return ratio if ratio.variance is None else replace(ratio, variance=more, freedom=math.inf)
    total = ratio.variance + more
    return replace(ratio, variance=total, freedom=ratio.freedom * (total / ratio.variance) ** 2)


def _inflation(pairs: Sequence[Pair], metric: GateMetric, run_to_run: float) -> float:
    """By how much runs differ beyond what they say themselves: the spread of the control in its own errors, at least 1.

    What shifts all rows alike is no part of it, for a regression may do that.
    """
    same = [pair for pair in pairs if pair.a.source == pair.b.source and pair.b.timed]
    control = GateMetric(name=metric.control) if metric.control else None
    steady = _of_runs(_steadied(tuple(_ratios(same, control))), run_to_run) if control else ()
    shifts = [
        each.log / math.sqrt(each.variance) for each in steady if each.log is not None and each.variance
    ]
    if len(shifts) < LEAST_FOR_CONTROL:
        return 1.0
    middle = median(shifts)
    return max(1.0, 1.4826 * median(abs(shift - middle) for shift in shifts))
