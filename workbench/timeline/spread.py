"""A figure that was observed once a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of `count` observations."""

    median: float
    low: float
    high: float
    count: int

    def apart(self, other: Spread) -> bool:
        """Whether the ranges do not overlap; never for single observations, which have no range."""
        several = self.count > 1 and other.count > 1
        return several and (self.low > other.high or self.high < other.low)


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of observations; at least one."""
    ordered = [round(value, 3) for value in values]
    return Spread(round(float(np.median(ordered)), 3), min(ordered), max(ordered), len(ordered))
