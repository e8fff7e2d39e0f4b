"""Takes interleaved rounds of samples, flags those that were throttled, and keeps every raw sample.

A round samples each config that it is given once, in a fresh shuffled order; the clocks are read right after
it. A throttled round is flagged and not counted, so that the next one takes its place, but only so often: a
GPU that always throttles is measured as it is, with the flag, and never yields an empty result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

import numpy as np

from workbench.measure.clocks import ClockReader, ClockReading

LOW_CLOCK = "low_sm_clock"


class Timer(Protocol):
    """Times one config."""

    def sample(self) -> float:
        """One sample, microseconds a call; on a GPU one replay of a graph of launches over their number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One raw sample; a line of `samples.jsonl`.

    Attributes:
        round: index of the round, from 0.
        position: place in the round's order, from 0.
        time_us: microseconds a call.
        sm_mhz: SM clock right after the round, None where unknown.
        flags: why the round counts as throttled, empty where it does not.
        used: False for a round that was taken once more and is in no statistic.
    """

    name: str
    round: int
    position: int
    time_us: float
    sm_mhz: int | None
    flags: tuple[str, ...]
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSummary:
    """The clocks over a batch.

    Attributes:
        sm_mhz: lowest, median and highest SM clock read, None where unknown.
        power_w: median power in watts, None where unknown.
        throttled_rounds: rounds with a flag.
        flags: every flag seen, each once.
    """

    driver: str | None
    sm_mhz: tuple[int, float, int] | None
    power_w: float | None
    throttled_rounds: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One round: times in microseconds by config in the order taken, the clocks after it, and its flags."""

    times: Mapping[str, float]
    reading: ClockReading
    flags: tuple[str, ...]
    retaken: bool


class Rounds:
    """The rounds of a batch.

    Args:
        timers: a timer for each config.
        clocks: read after each round.
        seed: of the order within rounds.
        max_retakes: throttled rounds that are taken once more.
        min_clock_share: an SM clock below this share of the running median counts as throttled.
    """

    def __init__(
        self,
        timers: Mapping[str, Timer],
        clocks: ClockReader,
        seed: int,
        max_retakes: int,
        min_clock_share: float,
    ) -> None:
        self._timers = timers
        self._clocks = clocks
        self._order = np.random.default_rng(seed)
        self._retakes_left = max_retakes
        self._min_clock_share = min_clock_share
        self.taken: list[Round] = []

    def take(self, names: Sequence[str]) -> None:
        """Takes one round of these configs.

        Raises:
            ValueError: a timer returned no positive finite time.
        """
        order = [names[place] for place in self._order.permutation(len(names))]
        times = {name: self._sample(name) for name in order}
        reading = self._clocks.read()
        flags = self._flags(reading)
        retaken = bool(flags) and self._retakes_left > 0
        self._retakes_left -= int(retaken)
        self.taken.append(Round(times, reading, flags, retaken))

    @property
    def sound(self) -> int:
        """Rounds that were not retaken: what decisions wait for."""
        return sum(not taken.retaken for taken in self.taken)

    @property
    def counted(self) -> list[Round]:
        """The rounds that statistics use: those that were not retaken, or all where that leaves none."""
        return [taken for taken in self.taken if not taken.retaken] or self.taken

    def paired(self, name: str, baseline: str) -> tuple[list[float], list[float]]:
        """Times of a config and of a baseline in the counted rounds in which both took part."""
        both = [taken.times for taken in self.counted if name in taken.times and baseline in taken.times]
        return [times[name] for times in both], [times[baseline] for times in both]

    def flags(self, name: str) -> tuple[str, ...]:
        """The flags of the counted rounds in which a config took part, each once."""
        return _each_once(flag for taken in self.counted if name in taken.times for flag in taken.flags)

    def samples(self) -> tuple[Sample, ...]:
        """Every raw sample in the order taken."""
        counted = {id(taken) for taken in self.counted}
        return tuple(
            Sample(
                name=name,
                round=index,
                position=position,
                time_us=time_us,
                sm_mhz=taken.reading.sm_mhz,
                flags=taken.flags,
                used=id(taken) in counted,
            )
            for index, taken in enumerate(self.taken)
            for position, (name, time_us) in enumerate(taken.times.items())
        )

    def clock_summary(self) -> ClockSummary:
        """What the clocks did over all rounds."""
        speeds = [taken.reading.sm_mhz for taken in self.taken if taken.reading.sm_mhz is not None]
        powers = [taken.reading.power_w for taken in self.taken if taken.reading.power_w is not None]
        return ClockSummary(
            driver=self._clocks.driver,
            sm_mhz=(min(speeds), float(np.median(speeds)), max(speeds)) if speeds else None,
            power_w=float(np.median(powers)) if powers else None,
            throttled_rounds=sum(bool(taken.flags) for taken in self.taken),
            flags=_each_once(flag for taken in self.taken for flag in taken.flags),
        )

    def _sample(self, name: str) -> float:
        time_us = self._timers[name].sample()
        if not (isfinite(time_us) and time_us > 0.0):
            raise ValueError(f"{name}: its timer returned {time_us!r} microseconds")
        return time_us

    def _flags(self, reading: ClockReading) -> tuple[str, ...]:
        if reading.sm_mhz is None:
            return reading.throttled
        speeds = [taken.reading.sm_mhz for taken in self.taken if taken.reading.sm_mhz is not None]
        slow = bool(speeds) and reading.sm_mhz < self._min_clock_share * float(np.median(speeds))
        return (*reading.throttled, LOW_CLOCK) if slow else reading.throttled


def _each_once(flags: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flags))
