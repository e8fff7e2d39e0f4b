"""A GPU that is not there, made of recorded times and the noise that real ones show, drawn from a seed.

A sample of a config is its recorded time times four factors:

- **drift**, common to a window (one batch of configs in one process) and wandering within it: identical configs read
  1 to 3 % apart in sequential windows (pytorch/helion issue 3523);
- **placement**, of one config in one process: where its code and buffers happened to land;
- **jitter** of the single sample, with rare **bursts** that only ever slow it down (the long right tail of GPU times);
- a **throttle** step: for a while all samples are slower and the SM clock reads lower by the same share
  (B200, 1965 to 1580 MHz under sustained load, flashinfer issue 2899).

Drift and throttle are common to all configs of a round, so that pairing cancels them; the others are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field

from workbench.measure.clocks import ClockReading

BASE_MHZ = 1980
# A sample is one replay of a graph of launches, whose length a GPU timer fits to about a millisecond.
SAMPLE_S = 1e-3
ROUND_CORRELATION = 0.9
THROTTLED_ROUNDS = 12


def _share(most: float, description: str) -> Any:
    return Field(ge=0, le=most, description=description)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise drawn over recorded times; every figure but the seed is a share of the time, or a share of samples."""

    # A sweep file holds these very fields, so pydantic checks them there.
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0, lt=1 << 32, description="Of every draw.")] = 0
    drift: Annotated[
        float, _share(0.5, "Standard deviation between windows (batches), and of the wandering within one.")
    ] = 0.02
    placement: Annotated[float, _share(0.5, "Standard deviation of a config's bias within one process.")] = (
        0.001
    )
    jitter: Annotated[float, _share(0.5, "Standard deviation of a single sample.")] = 0.01
    burst_rate: Annotated[float, _share(1, "Share of the samples that a burst hits.")] = 0.02
    burst: Annotated[float, _share(10, "Mean slow-down of such a sample.")] = 0.2
    throttle: Annotated[float, _share(10, "Slow-down of the throttle step.")] = 0.15
    throttle_rate: Annotated[float, _share(1, "Share of windows that have one.")] = 0.2


class NoisyGpu:
    """One window on the replayed GPU: makes timers, reads clocks and keeps its own time.

    Args:
        noise: how noisy.
        window: what names this window (problem, configs, session); the same names draw the same noise.
    """

    driver = None

    def __init__(self, noise: Noise, window: Sequence[int | str]) -> None:
        self._noise = noise
        self._draw = np.random.default_rng([noise.seed, *_words(window)])
        self._level = self._draw.normal(0.0, noise.drift)
        self._wander = self._draw.normal(0.0, noise.drift / 2)
        has_step = self._draw.random() < noise.throttle_rate
        self._step_at = int(self._draw.integers(2, 40)) if has_step else -1
        self._round = 0
        self._seconds = 0.0

    def timer(self, time_us: float) -> NoisyTimer:
        """A timer of a config whose recorded time this is, microseconds."""
        return NoisyTimer(self, time_us * math.exp(self._draw.normal(0.0, self._noise.placement)))

    def read(self) -> ClockReading:
        """Ends a round: reads the clocks after it and lets the drift wander on."""
        reading = ClockReading(sm_mhz=round(BASE_MHZ / self._slow_down))
        step = self._draw.normal(0.0, self._noise.drift / 2)
        self._wander = ROUND_CORRELATION * self._wander + math.sqrt(1 - ROUND_CORRELATION**2) * step
        self._round += 1
        return reading

    def now(self) -> float:
        """Seconds of the replayed GPU's own time."""
        return self._seconds

    def sample(self, time_us: float) -> float:
        """One noisy sample of a time, microseconds."""
        noise = self._noise
        self._seconds += SAMPLE_S
        burst = self._draw.exponential(noise.burst) if self._draw.random() < noise.burst_rate else 0.0
        common = self._level + self._wander + self._draw.normal(0.0, noise.jitter)
        return time_us * math.exp(common) * (1.0 + burst) * self._slow_down

    @property
    def _slow_down(self) -> float:
        throttled = self._step_at >= 0 and self._step_at <= self._round < self._step_at + THROTTLED_ROUNDS
        return 1.0 + self._noise.throttle if throttled else 1.0


@dataclass(frozen=True, slots=True)
class NoisyTimer:
    """Times one config on a `NoisyGpu`.

    Attributes:
        gpu: where.
        time_us: what it takes there without drift, microseconds.
    """

    gpu: NoisyGpu
    time_us: float

    def sample(self) -> float:
        """One sample, microseconds."""
        return self.gpu.sample(self.time_us)


def _words(names: Sequence[int | str]) -> list[int]:
    """Integers that stand for names."""
    return [name if isinstance(name, int) else int.from_bytes(name.encode()) for name in names]
