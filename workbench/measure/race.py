"""Measures a batch of configs of one problem against the default, in interleaved shuffled rounds.

In each round every config that is still in the race is sampled once, in a fresh random order, beside the
default, which takes part twice: once as the baseline and once again as if it were a candidate (A/A). A config
is judged by the median of its per-round ratios to the baseline, so that whatever slows a whole round down
cancels out, and the A/A ratio gives the noise floor that a winner must clear.

Nothing here knows CUDA: a config comes with a `Timer`, and the clocks with a `ClockReader`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from workbench.base.statistics import Estimate, NoiseFloor, bootstrap_median, noise_floor, paired_ratios
from workbench.measure.clocks import ClockReader, NullClocks
from workbench.measure.rounds import ClockSummary, Rounds, Sample, Timer

DEFAULT = "default"
DEFAULT_AGAIN = "default again"

# Statistics pause the GPU, so they are made after 10, 15, 20, 25, 31, ... rounds and not after each.
_CHECK_AT_LEAST_EVERY = 5
_CHECK_GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class TimedConfig:
    """A candidate ready to be timed.

    Attributes:
        name: what its result is called; distinct within a batch.
    """

    name: str
    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSettings:
    """How long and how closely to measure.

    Attributes:
        relative_ci: a config is settled when half its ratio's interval over the ratio is below this.
        too_slow_ratio: a config of which one launch takes this many times the default's is not raced; None races all.
        slower_margin: a config leaves the race when the lower end of its ratio exceeds the leader's upper end
            by this share; None keeps every config in the race until it is settled.
        min_rounds: counted rounds before anything is decided, and that a config needs to beat the default.
        max_rounds: rounds at most, retaken ones included.
        max_seconds: seconds at most; the first round is always finished.
        max_retakes: throttled rounds that are taken once more; later ones count, with their flag.
        min_clock_share: an SM clock below this share of its running median counts as throttled.
        warmup_seconds: the default is sampled so long before the first round, unrecorded.
        rewarm_samples: and so often after a pause for statistics, so that the clocks return to where they
            were.
        seed: of the order of rounds and of the bootstrap.
    """

    relative_ci: float = 0.01
    confidence: float = 0.95
    resamples: int = 1000
    too_slow_ratio: float | None = 5.0
    slower_margin: float | None = 0.01
    min_rounds: int = 10
    max_rounds: int = 200
    max_seconds: float = 30.0
    max_retakes: int = 20
    min_clock_share: float = 0.75
    warmup_seconds: float = 0.2
    rewarm_samples: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.min_rounds <= self.max_rounds:
            raise ValueError(
                f"needs 2 <= min_rounds <= max_rounds, got {self.min_rounds} and {self.max_rounds}"
            )
        if self.relative_ci <= 0.0 or self.max_seconds <= 0.0:
            raise ValueError("relative_ci and max_seconds must be positive")


class Stopped(StrEnum):
    """Why a config was not sampled any further."""

    SETTLED = "settled"
    SLOWER = "slower"
    MAX_ROUNDS = "max_rounds"
    MAX_SECONDS = "max_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What the rounds say about one config.

    Attributes:
        time_us: median time, microseconds a call, with its interval.
        ratio: median of time over the default's time of the same round, with its interval.
        default_time_us: the default's median in the same rounds, microseconds a call.
        p10_us, p90_us: percentiles of the times, a diagnostic.
        rounds: rounds that count.
        flags: the flags of the rounds that count, each once.
    """

    name: str
    time_us: Estimate
    ratio: Estimate
    default_time_us: float
    p10_us: float
    p90_us: float
    rounds: int
    stopped: Stopped
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """A measured batch.

    Attributes:
        measurements: one a candidate, in the order given.
        default_again: the default measured as if it were a candidate.
        samples: every raw sample in the order taken.
        rounds: rounds taken, retaken ones included.
        seconds: wall time.
        too_slow: what was not raced, by name: one launch of it and of the default, microseconds.
    """

    measurements: tuple[Measurement, ...]
    default_again: Measurement
    noise: NoiseFloor
    clocks: ClockSummary
    samples: tuple[Sample, ...]
    rounds: int
    seconds: float
    min_rounds: int
    too_slow: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def beats_default(self, measurement: Measurement) -> bool:
        """True where the whole interval of the ratio lies below 1 by more than this batch's noise floor.

        A config that a cap cut off before `min_rounds` never does: the interval of a handful of rounds is too
        narrow.
        """
        return measurement.rounds >= self.min_rounds and self.noise.beaten_by(measurement.ratio)


def measure_batch(
    candidates: Sequence[TimedConfig],
    *,
    default: Timer,
    default_again: Timer,
    settings: MeasureSettings,
    clocks: ClockReader | None = None,
    now: Callable[[], float] = time.monotonic,
) -> BatchResult:
    """Measures candidates against the default until each is settled, clearly slower, or a cap is reached.

    Args:
        candidates: configs to measure; keep a batch small (about 30), since a round samples each of them once
            and ratios are the sharper the shorter a round. None at all is fine: then this is an A/A run.
        default: timer of the default config.
        default_again: a second timer of the default config, made like the first.
        settings: when to stop.
        clocks: read after every round; None reads nothing.
        now: seconds, monotonic.

    Raises:
        ValueError: two configs have one name, or a timer returned no positive finite time.
    """
    timers = {DEFAULT: default, DEFAULT_AGAIN: default_again}
    timers |= {candidate.name: candidate.timer for candidate in candidates}
    if len(timers) != len(candidates) + 2:
        raise ValueError(f"candidates: names must be distinct and neither {DEFAULT!r} nor {DEFAULT_AGAIN!r}")
    race = _Race(timers, settings, clocks or NullClocks(), now)
    race.run()
    return race.result([candidate.name for candidate in candidates])


class _Race:
    def __init__(
        self,
        timers: dict[str, Timer],
        settings: MeasureSettings,
        clocks: ClockReader,
        now: Callable[[], float],
    ) -> None:
        self._default = timers[DEFAULT]
        self._settings = settings
        self._now = now
        self._racing = [name for name in timers if name != DEFAULT]
        self._stopped: dict[str, Stopped] = {}
        self._estimates: dict[str, Estimate] = {}
        self._started = now()
        self._longest_round = 0.0
        self._rounds = Rounds(timers, clocks, settings.seed, settings.max_retakes, settings.min_clock_share)

    def run(self) -> None:
        self._warm_up()
        check_at = self._settings.min_rounds
        while self._racing:
            if cap := self._cap_reached():
                self._stop(dict.fromkeys(self._racing, cap))
            else:
                self._take_round()
                if (sound := self._rounds.sound) >= check_at:
                    self._judge()
                    check_at = max(sound + _CHECK_AT_LEAST_EVERY, int(sound * _CHECK_GROWTH))

    def result(self, names: Sequence[str]) -> BatchResult:
        default_again = self._measurement(DEFAULT_AGAIN)
        return BatchResult(
            measurements=tuple(self._measurement(name) for name in names),
            default_again=default_again,
            noise=noise_floor(default_again.ratio),
            clocks=self._rounds.clock_summary(),
            samples=self._rounds.samples(),
            rounds=len(self._rounds.taken),
            seconds=self._now() - self._started,
            min_rounds=self._settings.min_rounds,
        )

    def _warm_up(self) -> None:
        while self._now() - self._started < self._settings.warmup_seconds:
            self._default.sample()

    def _take_round(self) -> None:
        """Samples whoever still races, and both defaults to the end: every round's baseline and control."""
        started = self._now()
        self._rounds.take(list(dict.fromkeys([DEFAULT, DEFAULT_AGAIN, *self._racing])))
        self._longest_round = max(self._longest_round, self._now() - started)

    def _cap_reached(self) -> Stopped | None:
        if not self._rounds.taken:
            return None
        if len(self._rounds.taken) >= self._settings.max_rounds:
            return Stopped.MAX_ROUNDS
        elapsed = self._now() - self._started
        return Stopped.MAX_SECONDS if elapsed + self._longest_round > self._settings.max_seconds else None

    def _judge(self) -> None:
        self._estimates |= {name: self._ratio(name) for name in self._racing}
        leader = min(self._estimates.values(), key=lambda estimate: estimate.median)
        verdicts = {name: self._verdict(name, leader) for name in self._racing}
        self._stop({name: verdict for name, verdict in verdicts.items() if verdict})
        for _ in range(self._settings.rewarm_samples if self._racing else 0):
            self._default.sample()

    def _verdict(self, name: str, leader: Estimate) -> Stopped | None:
        estimate, margin = self._estimates[name], self._settings.slower_margin
        if estimate.relative_half_width < self._settings.relative_ci:
            return Stopped.SETTLED
        if margin is None or name == DEFAULT_AGAIN or estimate.low <= leader.high * (1.0 + margin):
            return None
        return Stopped.SLOWER

    def _stop(self, verdicts: dict[str, Stopped]) -> None:
        self._stopped |= verdicts
        self._racing = [name for name in self._racing if name not in verdicts]

    def _ratio(self, name: str) -> Estimate:
        return self._estimate(paired_ratios(*self._rounds.paired(name, DEFAULT)))

    def _estimate(self, values: Sequence[float] | np.ndarray) -> Estimate:
        settings = self._settings
        return bootstrap_median(
            values, seed=settings.seed, confidence=settings.confidence, resamples=settings.resamples
        )

    def _measurement(self, name: str) -> Measurement:
        times, baseline = self._rounds.paired(name, DEFAULT)
        return Measurement(
            name=name,
            time_us=self._estimate(times),
            ratio=self._ratio(name),
            default_time_us=float(np.median(baseline)),
            p10_us=float(np.quantile(times, 0.1)),
            p90_us=float(np.quantile(times, 0.9)),
            rounds=len(times),
            stopped=self._stopped[name],
            flags=self._rounds.flags(name),
        )
