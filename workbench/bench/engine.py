"""What the runner asks of whatever decodes: an engine opens an arm for a batch, and the session decodes step by step.

The decode model is one engine; tests bring another with a virtual clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a row says of the engine.

    Attributes:
        device: the slug of its GPU.
    """

    model: str
    device: str
    gpus: int = 1
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EngineStep:
    """What one decode step yielded.

    Attributes:
        tokens: new tokens of each sequence; 1 without speculation, 0 for a sequence that has ended.
        drafted: tokens drafted and checked in this step, over all sequences.
        drafts: sequences for which something was drafted.
    """

    tokens: tuple[int, ...]
    drafted: int = 0
    accepted: int = 0
    drafts: int = 0


class Session(Protocol):
    """One arm, ready for one batch; every call returns when its work on the device is done."""

    def run(self, seed: int) -> AbstractContextManager[None]:
        """Forgets the last run and makes prompts for the next one; the block is that run. Entering is not timed."""
        ...

    def prefill(self) -> Sequence[int]:
        """Reads the prompts and yields the first tokens: how many of each sequence."""
        ...

    def step(self) -> EngineStep:
        """One decode step."""
        ...

    def peak_memory_bytes(self) -> int | None:
        """The most device memory since the run began, None where unknown."""
        ...


class DecodeEngine(Protocol):
    """Whatever can run the arms of a workload."""

    @property
    def facts(self) -> EngineFacts:
        """What rows say of it."""
        ...

    def open(
        self, arm: str, *, batch: int, input_tokens: int, output_tokens: int, draft_tokens: int
    ) -> AbstractContextManager[Session]:
        """Makes an arm ready for a batch; leaving the context gives its memory back.

        Raises:
            InputError: the engine does not have the arm.
        """
        ...


class Clock(Protocol):
    """Seconds from any fixed moment."""

    def now(self) -> float:
        """Reads the clock."""
        ...


class WallClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds, with the highest resolution that there is."""
        return time.perf_counter()


class EnergyMeter(Protocol):
    """Whatever can read the energy that the GPU has used."""

    def joules(self) -> float | None:
        """Joules from any fixed moment, None where unknown."""
        ...


class NoEnergy:
    """Knows nothing."""

    def joules(self) -> float | None:
        """Always None."""
        return None
