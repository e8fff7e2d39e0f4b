"""The search of one problem: which configs it has proposed, and which it proposes next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.candidates import Candidates, Neighbours, draw_candidates
from workbench.search.gaussian.coordinates import Floats
from workbench.search.gaussian.lesson import Lesson
from workbench.search.gaussian.problem_data import ProblemData
from workbench.search.gaussian.surrogate import Surrogate, most_telling
from workbench.trials.config_table import ConfigTable

# The first configs, before anything is modelled; of these at most the second number come from elsewhere.
START, INFORMED = 8, 4
# Of so many configs, drawn anew each time, the one that covers the space best is taken.
SPREAD_AMONG = 1000
# Up to here one config at a time, fitted anew for each: that is when each result changes most.
ONE_AT_A_TIME, BATCH = 48, 4


class ProblemSearch:
    """Proposes configs of one problem, each at most once.

    Args:
        data: what is known of the problem's configs.
        rng: draws the first configs and breaks ties.
    """

    def __init__(self, data: ProblemData, rng: np.random.Generator) -> None:
        self.data, self._rng = data, rng
        self._neighbours = Neighbours(data.table)
        self._seen = np.zeros(len(data.table), dtype=bool)
        self._pending: dict[int, None] = {}
        self._planned: list[int] | None = None
        self._candidates: Candidates | None = None
        self._surrogate: Surrogate | None = None
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
        self.data.lessons = lessons
        ranked = [lesson.winners[:INFORMED] for lesson in lessons]
        if self.data.model is not None:
            ranked.insert(0, np.argsort(self.data.model, kind="stable")[:INFORMED].tolist())
        in_turn = (row for rows in zip_longest(*ranked) for row in rows if row is not None)
        informed = [row for row in dict.fromkeys(in_turn) if not self._seen[row]]
        self._planned = self._with_spread(informed[:INFORMED])

    def _with_spread(self, planned: list[int]) -> list[int]:
        """Adds configs that cover the space, up to `START` with those already told of."""
        left = np.flatnonzero(~self._seen)
        left = left[~np.isin(left, planned)]
        while len(left) and len(planned) + len(self.data.times) < START:
            taken = [*self.data.times, *planned]
            planned.append(_next_spread(self.data.table, taken, left, self._rng))
            left = left[left != planned[-1]]
        return planned

    def ask(self, count: int) -> list[int]:
        """The next configs; fewer than asked for where each result may change the next proposal."""
        told = len(self.data.times)
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
        self.data.times[row] = time_us if is_time else None
        if self._surrogate is not None and not self._surrogate.include(row):
            self._surrogate = None

    def foresee(self, count: int) -> list[int]:
        """Configs likely to be proposed next."""
        planned = [row for row in self._planned or () if not self._seen[row]]
        if len(planned) >= count or self._seen.all() or not self.data.times:
            return planned[:count]
        surrogate = self._current_surrogate()
        scores = np.where(self._seen[surrogate.rows], -np.inf, surrogate.scores(self.data.times))
        best = np.argsort(-scores, kind="stable")[: count + len(planned)]
        likely = surrogate.rows[best[np.isfinite(scores[best])]].tolist()
        return list(dict.fromkeys([*planned, *likely]))[:count]

    def _spread(self) -> int:
        """A config far from those whose results are awaited, where nothing is known yet."""
        left = np.flatnonzero(~self._seen)
        return _next_spread(self.data.table, list(self._pending), left, self._rng)

    def _next_planned(self) -> int | None:
        while self._planned:
            if not self._seen[row := self._planned.pop(0)]:
                return row
        return None

    def _most_promising(self) -> int:
        surrogate = self._current_surrogate()
        scores = surrogate.scores(self.data.times) + 1e-9 * self._rng.random(len(surrogate.rows))
        scores[self._seen[surrogate.rows]] = -np.inf
        return int(surrogate.rows[np.argmax(scores)])

    def _current_surrogate(self) -> Surrogate:
        if self._surrogate is None or self._surrogate.is_stale(len(self.data.times)):
            self._surrogate = self._fitted()
        return self._surrogate

    def _fitted(self) -> Surrogate:
        told = most_telling(self.data.times)
        needed = [*told, *self._pending]
        if self._candidates is None or not self._candidates.is_current(self.data, needed):
            self._candidates = draw_candidates(self.data, self._neighbours, self._seen, needed, self._rng)
        surrogate = Surrogate(self.data, self._candidates, told, self._theta)
        self._theta = surrogate.theta
        for row in self._pending:
            surrogate.include(row)
        return surrogate

    def _take(self, row: int) -> None:
        self._seen[row] = True
        self._pending[row] = None
        if self._surrogate is not None:
            self._surrogate.include(row)


def _next_spread(
    table: ConfigTable, taken: Sequence[int], unseen: NDArray[np.int64], rng: np.random.Generator
) -> int:
    """The unseen config that best balances how often levels were used with distance to what was taken.

    At most `SPREAD_AMONG` of the unseen rows, of which there is at least one, are looked at.
    """
    if not taken:
        return int(rng.choice(unseen))
    among = rng.choice(unseen, SPREAD_AMONG, replace=False) if len(unseen) > SPREAD_AMONG else unseen
    spread = _distance(table, among, np.asarray(taken))
    width = len(table.names)
    return int(among[np.argmax(width * spread / max(spread.max(), 1e-9) - _crowding(table, among, taken))])


def _crowding(table: ConfigTable, among: NDArray[np.int64], taken: Sequence[int]) -> Floats:
    """How often each config's levels were used, relative to their even share, summed over the parameters."""
    crowding = np.zeros(len(among))
    for column, levels in enumerate(table.levels.values()):
        used = np.bincount(table.codes[np.asarray(taken), column], minlength=len(levels))
        crowding += used[table.codes[among, column]] / max(1.0, len(taken) / len(levels))
    return crowding


def _distance(table: ConfigTable, among: NDArray[np.int64], taken: NDArray[np.int64]) -> Floats:
    """Distance to the nearest taken config, each parameter by the rank of its level between 0 and 1."""
    squares = np.zeros((len(among), len(taken)))
    for column, levels in enumerate(table.levels.values()):
        rank = np.linspace(0, 1, len(levels))
        if all(isinstance(level, int | float) for level in levels):
            rank = np.argsort(np.argsort(np.asarray(levels, dtype=np.float64))) / max(1, len(levels) - 1)
        codes = table.codes[:, column]
        squares += (rank[codes[among]][:, None] - rank[codes[taken]][None]) ** 2
    nearest: Floats = np.sqrt(squares.min(axis=1))
    return nearest
