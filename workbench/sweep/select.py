"""Chooses the winner of one problem: the default, unless something is ahead of it by more than the margin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from moe_kernels.tunable import Config, Problem
from workbench.sweep.stages.time_model import LEAST_IN_FLIGHT_SHARE
from workbench.trials.trial import Evidence, Status, Trial

# A timed config leaves the default only where it is this far ahead, however small the noise.
TIMED_MARGIN = 0.01
# A modelled config leaves the default only where the model puts it this far ahead.
MODELLED_MARGIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The config to publish for one problem.

    Attributes:
        time_us: microseconds a call.
        ci_us: its interval, where measured.
        default_time_us: the default's time in the same run; None where the default is not valid.
        kept_default: True where nothing was ahead of the default by more than `margin`.
        margin: the share by which a config had to be ahead.
        in_flight_share: see `Trial`.
        exchanged: the best config that an engine's table can hold, where this one is none.
    """

    problem: Problem
    config: Config
    evidence: Evidence
    time_us: float
    ci_us: tuple[float, float] | None
    default_time_us: float | None
    kept_default: bool
    margin: float
    in_flight_share: float | None = None
    exchanged: Winner | None = None


def select(
    trials: Sequence[Trial], default: Config, *, margin: float, neighbour: Config | None = None
) -> Winner | None:
    """The winner among one problem's trials, or None where no config is valid.

    Args:
        trials: all trials of one problem.
        default: the kernel's default config, complete.
        margin: share of the default's time by which a config must be ahead of it.
        neighbour: what won the neighbouring problem; of timed configs that tie within the margin it goes first.
    """
    valid = [trial for trial in trials if trial.status is Status.OK and trial.time_us is not None]
    if not valid:
        return None
    baseline = next((trial for trial in valid if trial.config == default), None)
    if baseline is None:
        return _winner(min(valid, key=_order), None, margin)
    ahead = [
        trial for trial in valid if _relative_time(trial, baseline) < 1.0 - margin and not _is_starved(trial)
    ]
    if not ahead:
        return _winner(baseline, baseline, margin)
    return _winner(_of_ties(ahead, margin, neighbour), baseline, margin)


def _is_starved(trial: Trial) -> bool:
    """Whether a model puts a config ahead that keeps less than half of the bytes in flight that bandwidth needs."""
    return trial.in_flight_share is not None and trial.in_flight_share < LEAST_IN_FLIGHT_SHARE


def _of_ties(ahead: Sequence[Trial], margin: float, neighbour: Config | None) -> Trial:
    """The fastest; where times carry intervals, of those that tie with it the neighbour's config, then the smallest."""
    fastest = min(ahead, key=_order)
    if fastest.ratio is None or fastest.ratio_ci is None:
        return fastest
    ties = [
        trial for trial in ahead if trial.ratio is not None and trial.ratio <= fastest.ratio * (1.0 + margin)
    ]
    return next((trial for trial in ties if trial.config == neighbour), min(ties, key=_size))


def _size(trial: Trial) -> tuple[int, float]:
    """Registers and shared memory of its blocks, then the time; a recording without resources goes by the time."""
    shared_words = sum(launch.shared_bytes // 4 for launch in trial.resources)
    return _registers(trial) + shared_words, trial.ratio or 0.0


def shortlist(trials: Sequence[Trial], default: Config, count: int) -> tuple[Trial, ...]:
    """The fastest valid trials, fastest first, and the default's where it is valid."""
    valid = fastest(trials, len(trials))
    return (*valid[:count], *(trial for trial in valid[count:] if trial.config == default))


def fastest(trials: Sequence[Trial], count: int) -> tuple[Trial, ...]:
    """The fastest valid trials, fastest first."""
    return tuple(sorted((trial for trial in trials if trial.status is Status.OK), key=_order)[:count])


def _order(trial: Trial) -> tuple[float, int, str]:
    """By time, then fewer registers a block, then the config's text, so that equal times give one winner."""
    assert trial.time_us is not None
    return trial.ratio or trial.time_us, _registers(trial), json.dumps(dict(trial.config), sort_keys=True)


def _registers(trial: Trial) -> int:
    return sum(launch.registers * launch.num_warps for launch in trial.resources)


def _relative_time(trial: Trial, baseline: Trial) -> float:
    """Time over the default's: the upper end of the paired ratio's interval where measured."""
    if trial.ratio_ci is not None:
        return trial.ratio_ci[1]
    assert trial.time_us is not None
    assert baseline.time_us is not None
    return trial.time_us / baseline.time_us


def _winner(trial: Trial, baseline: Trial | None, margin: float) -> Winner:
    assert trial.time_us is not None
    return Winner(
        problem=trial.problem,
        config=trial.config,
        evidence=trial.evidence,
        time_us=trial.time_us,
        ci_us=trial.ci_us,
        default_time_us=baseline.time_us if baseline else None,
        kept_default=trial is baseline,
        margin=margin,
        in_flight_share=trial.in_flight_share,
    )
