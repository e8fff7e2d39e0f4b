"""The search of one problem: which configs it has proposed, and which it proposes next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from workbench.search.gaussian.belief import Belief, most_telling
from workbench.search.gaussian.coordinates import Floats
from workbench.search.gaussian.evidence import Evidence
from workbench.search.gaussian.lesson import Lesson
from workbench.search.gaussian.pool import Pool, draw_pool
from workbench.search.gaussian.start import next_spread

# The first configs, before anything is modelled; of these at most the second number come from elsewhere.
START, INFORMED = 8, 4
# Up to here one config at a time, fitted anew for each: that is when each result changes most.
ONE_AT_A_TIME, BATCH = 48, 4


class ProblemSearch:
    """Proposes configs of one problem, each at most once.

    Args:
        evidence: what is known of the problem's configs.
        rng: draws the first configs and breaks ties.
    """

    def __init__(self, evidence: Evidence, rng: np.random.Generator) -> None:
        self.evidence, self._rng = evidence, rng
        self._seen = np.zeros(len(evidence.table), dtype=bool)
        self._pending: dict[int, None] = {}
        self._planned: list[int] | None = None
        self._pool: Pool | None = None
        self._belief: Belief | None = None
        self._theta: Floats | None = None

    @property
    def begun(self) -> bool:
        """Whether the first configs are planned."""
        return self._planned is not None

    def begin(self, lessons: Sequence[Lesson]) -> None:
        """Plans the first configs.

        Args:
            lessons: what was learned elsewhere, the nearest first.
        """
        self.evidence.lessons = lessons
        ranked = [lesson.winners[:INFORMED] for lesson in lessons]
        if self.evidence.model is not None:
            ranked.insert(0, np.argsort(self.evidence.model, kind="stable")[:INFORMED].tolist())
        in_turn = (row for rows in zip_longest(*ranked) for row in rows if row is not None)
        informed = [row for row in dict.fromkeys(in_turn) if not self._seen[row]]
        self._planned = self._with_spread(informed[:INFORMED])

    def _with_spread(self, planned: list[int]) -> list[int]:
        """Adds configs that cover the space, up to `START` with those already told of."""
        left = np.flatnonzero(~self._seen)
        left = left[~np.isin(left, planned)]
        while len(left) and len(planned) + len(self.evidence.times) < START:
            taken = [*self.evidence.times, *planned]
            planned.append(next_spread(self.evidence.table, taken, left, self._rng))
            left = left[left != planned[-1]]
        return planned

    def ask(self, count: int) -> list[int]:
        """The next configs; fewer than asked for where each result may change the next proposal."""
        told = len(self.evidence.times)
        asked: list[int] = []
        while len(asked) < count and not self._seen.all():
            row = self._next_planned()
            if row is None:
                if asked and (not told or len(asked) >= (1 if told < ONE_AT_A_TIME else BATCH)):
                    break
                row = self._most_promising() if told else self._spread()
            self._take(row)
            asked.append(row)
        return asked

    def tell(self, row: int, time_us: float | None) -> None:
        """Takes note of what became of a config, whether it was asked for or not."""
        self._seen[row] = True
        self._pending.pop(row, None)
        is_time = time_us is not None and np.isfinite(time_us) and time_us > 0
        self.evidence.times[row] = time_us if is_time else None
        if self._belief is not None and not self._belief.include(row):
            self._belief = None

    def foresee(self, count: int) -> list[int]:
        """Configs likely to be proposed next."""
        planned = [row for row in self._planned or () if not self._seen[row]]
        if len(planned) >= count or self._seen.all() or not self.evidence.times:
            return planned[:count]
        belief = self._current_belief()
        scores = np.where(self._seen[belief.rows], -np.inf, belief.scores(self.evidence.times))
        best = np.argsort(-scores, kind="stable")[: count + len(planned)]
        likely = belief.rows[best[np.isfinite(scores[best])]].tolist()
        return list(dict.fromkeys([*planned, *likely]))[:count]

    def _spread(self) -> int:
        """A config far from those whose results are awaited, where nothing is known yet."""
        left = np.flatnonzero(~self._seen)
        return next_spread(self.evidence.table, list(self._pending), left, self._rng)

    def _next_planned(self) -> int | None:
        while self._planned:
            if not self._seen[row := self._planned.pop(0)]:
                return row
        return None

    def _most_promising(self) -> int:
        belief = self._current_belief()
        scores = belief.scores(self.evidence.times) + 1e-9 * self._rng.random(len(belief.rows))
        scores[self._seen[belief.rows]] = -np.inf
        return int(belief.rows[np.argmax(scores)])

    def _current_belief(self) -> Belief:
        if self._belief is None or self._belief.is_stale(len(self.evidence.times)):
            self._belief = self._fitted()
        return self._belief

    def _fitted(self) -> Belief:
        told = most_telling(self.evidence.times)
        needed = [*told, *self._pending]
        if self._pool is None or not self._pool.is_current(self.evidence, needed):
            self._pool = draw_pool(self.evidence, self._seen, needed, self._rng)
        self._theta = (belief := Belief(self.evidence, self._pool, told, self._theta)).theta
        for row in self._pending:
            belief.include(row)
        return belief

    def _take(self, row: int) -> None:
        self._seen[row] = True
        self._pending[row] = None
        if self._belief is not None:
            self._belief.include(row)
