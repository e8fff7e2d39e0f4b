"""Configs in random order, without repeating: the baseline that any search has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.search.exhaustive import Exhaustive


class Shuffled(Exhaustive):
    """Proposes every config once, in an order drawn from the task's seed for each problem."""

    def order(self, problem: int) -> Sequence[int]:
        """All rows of a problem's table, shuffled."""
        rng = np.random.default_rng([self.task.seed, problem])
        shuffled: Sequence[int] = rng.permutation(len(self.task.tables[problem])).tolist()
        return shuffled
