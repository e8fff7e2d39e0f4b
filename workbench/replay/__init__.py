"""Recorded landscapes, and sweeps over them: search, statistics and recovery without a GPU."""

from __future__ import annotations

from workbench.replay.family import DEVICE, Family, problem_key, read_family, read_landscapes
from workbench.replay.landscape import Landscape, RecordedFailure
from workbench.replay.noise import Noise, NoisyGpu, NoisyTimer

__all__ = [
    "DEVICE",
    "Family",
    "Landscape",
    "Noise",
    "NoisyGpu",
    "NoisyTimer",
    "RecordedFailure",
    "problem_key",
    "read_family",
    "read_landscapes",
]
