"""Configs in the order of the model's prior: where nothing is timed, the prior is all that there is to find out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.search.exhaustive import Exhaustive


class Ranked(Exhaustive):
    """Proposes every config once, the best by the prior first; in the table's order where a problem has none."""

    def order(self, problem: int) -> Sequence[int]:
        """All rows of a problem's table, best first."""
        prior = self.task.priors[problem]
        if prior is None:
            return super().order(problem)
        rows: list[int] = np.argsort(prior, kind="stable").tolist()
        return rows
