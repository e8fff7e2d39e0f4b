"""A landscape: every config of a kernel with the time that somebody recorded for it, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_kernels.device_slug import device_slug
from moe_kernels.tunable import Axis, Parameter, Problem
from workbench.trials.config_table import ConfigTable
from workbench.trials.trial import Resources, Status


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """Why a recorded config has no time.

    Attributes:
        reason: in the recording's words.
    """

    status: Status
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """One kernel on one problem on one GPU, as recorded.

    Attributes:
        digest: of the recording's content.
        device_name: the GPU, as its driver names it.
        problem: every axis.
        axes: the problem's axes, one of them the ladder.
        parameters: what was varied or held, with the kinds that a search may assume.
        times_us: [configs], microseconds; NaN where the config failed.
        failures: why, by row of the table.
        resources: what the compiled code needs, by row, where that was recorded.
    """

    path: Path
    digest: str
    kernel: str
    device_name: str
    problem: Problem
    axes: tuple[Axis, ...]
    parameters: tuple[Parameter, ...]
    table: ConfigTable
    times_us: NDArray[np.float64]
    failures: Mapping[int, RecordedFailure]
    resources: Mapping[int, tuple[Resources, ...]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The GPU's slug."""
        return device_slug(self.device_name)

    @property
    def best_us(self) -> float:
        """The fastest recorded time, microseconds."""
        return float(np.nanmin(self.times_us))

    def first_valid(self) -> int:
        """The first row that has a time."""
        return int(np.flatnonzero(np.isfinite(self.times_us))[0])
