"""What several timings of the same configs say together: of other processes, or under other distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import geometric_mean

from workbench.sweep.select import TIMED_MARGIN
from workbench.trials.trial import Final, Status, Trial


def agreed(sessions: Sequence[Final]) -> Final:
    """What several re-timings of the same finalists agree on: geometric means, and hulls of their intervals."""
    return _joined(sessions, _agreed)


def under_all(batches: Sequence[Final]) -> Final:
    """What batches of the same configs under several distributions say together.

    Times and ratios are geometric means; a config that is behind the default by more than the margin under one
    distribution gets an interval that reaches 1, so that it wins nothing.
    """
    return _joined(batches, _under_all)


def _joined(parts: Sequence[Final], join: Callable[[Sequence[Trial]], Trial]) -> Final:
    by_trial: dict[str, list[Trial]] = {}
    for part in parts:
        for trial in part.trials:
            by_trial.setdefault(trial.trial, []).append(trial)
    return Final(tuple(map(join, by_trial.values())), max(part.noise_floor for part in parts))


def _under_all(trials: Sequence[Trial]) -> Trial:
    if failed := [trial for trial in trials if trial.status is not Status.OK]:
        return failed[0]
    joined = _agreed(trials)
    intervals = [trial.ratio_ci for trial in trials if trial.ratio_ci is not None]
    if not intervals:
        return replace(joined, ci_us=_means([trial.ci_us for trial in trials if trial.ci_us is not None]))
    low, high = _means(intervals)
    behind = any(high > 1.0 + TIMED_MARGIN for _, high in intervals)
    return replace(
        joined,
        ci_us=_means([trial.ci_us for trial in trials if trial.ci_us is not None]),
        ratio_ci=(low, max(high, 1.0) if behind else high),
    )


def _agreed(trials: Sequence[Trial]) -> Trial:
    ratios = [trial.ratio for trial in trials if trial.ratio is not None]
    return replace(
        trials[0],
        time_us=geometric_mean([trial.time_us for trial in trials if trial.time_us is not None]),
        ci_us=_hull([trial.ci_us for trial in trials if trial.ci_us is not None]),
        ratio=geometric_mean(ratios) if ratios else None,
        ratio_ci=_hull([trial.ratio_ci for trial in trials if trial.ratio_ci is not None]),
    )


def _means(intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return geometric_mean([low for low, _ in intervals]), geometric_mean([high for _, high in intervals])


def _hull(intervals: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    if not intervals:
        return None
    return min(low for low, _ in intervals), max(high for _, high in intervals)
