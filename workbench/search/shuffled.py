"""Configs in random order, without repeating: the baseline that any search has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.search.exhaustive import Exhaustive
from workbench.search.strategy import SearchTask


class Shuffled(Exhaustive):
    """Proposes every config once, in an order drawn from the seed, another one for each problem."""

    def __init__(self, task: SearchTask) -> None:
        self._draw = np.random.default_rng(task.seed)
        super().__init__(task)

    def _order(self, size: int) -> Sequence[int]:
        order: list[int] = self._draw.permutation(size).tolist()
        return order
