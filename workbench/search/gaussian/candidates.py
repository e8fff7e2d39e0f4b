"""The candidates that a search looks at: all legal configs, or where those are too many a sample and neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Matrix
from workbench.search.gaussian.problem_data import ProblemData
from workbench.trials.config_table import ConfigTable

Rows = NDArray[np.int64]

# Most candidates, and most numbers kept of them (one for each candidate and result).
MOST_CANDIDATES, MOST_NUMBERS = 30_000, 20_000_000
# A sample holds the neighbourhoods of so many of the best configs, and is drawn anew after so many results.
CENTRES, REDRAW_AFTER = 8, 16
# Most of a sample that neighbourhoods may take.
NEAR_SHARE = 0.5
# Configs that differ in two parameters are neighbours only where that makes no more codes than this.
MOST_CODES = 50_000


@dataclass(frozen=True, slots=True)
class Candidates:
    """The configs that are looked at, with what does not change as results come in.

    Attributes:
        rows: [candidates], ascending rows of the table.
        x: [candidates, coordinates].
        features: [candidates, features].
        drawn_at: how many results there were then, None where every config is a candidate.
    """

    rows: Rows
    x: Matrix
    features: Matrix
    drawn_at: int | None

    def places(self, rows: Sequence[int]) -> Rows | None:
        """[rows], their places among the candidates; None where one is no candidate."""
        wanted = np.asarray(rows, dtype=np.int64)
        places = np.searchsorted(self.rows, wanted)
        inside = places < len(self.rows)
        if not inside.all() or not (self.rows[places] == wanted).all():
            return None
        return places

    def is_current(self, data: ProblemData, needed: Sequence[int]) -> bool:
        """Whether it need not be drawn anew."""
        too_many = len(self.rows) > _most(len(needed))
        old = self.drawn_at is not None and len(data.times) - self.drawn_at >= REDRAW_AFTER
        return not too_many and not old and self.places(needed) is not None


class Neighbours:
    """Finds the configs that differ from a given one in one or two parameters.

    Args:
        table: the legal configs; indexed at the first call.
    """

    def __init__(self, table: ConfigTable) -> None:
        self._table = table
        self._sizes = [len(levels) for levels in table.levels.values()]
        self._index: tuple[NDArray[np.int64], Rows] | None = None

    def of(self, row: int) -> Rows:
        """Rows of the legal configs one or two parameters away from a row, itself among them."""
        code = self._table.codes[row].astype(np.int64)
        once = _changed(code[None], self._sizes)
        few = len(once) * sum(self._sizes) <= MOST_CODES
        return self._rows(np.unique(_changed(once, self._sizes) if few else once, axis=0))

    def _rows(self, codes: NDArray[np.int64]) -> Rows:
        if self._index is None:
            keys = self._keys(self._table.codes)
            order = np.argsort(keys, kind="stable")
            self._index = keys[order], order
        sorted_keys, order = self._index
        keys = self._keys(codes)
        places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
        found: Rows = order[places[sorted_keys[places] == keys]]
        return found

    def _keys(self, codes: NDArray[Any]) -> NDArray[np.int64]:
        keys = np.zeros(len(codes), dtype=np.int64)
        for column, size in enumerate(self._sizes):
            keys = keys * size + codes[:, column]
        return keys


def draw_candidates(
    data: ProblemData,
    neighbours: Neighbours,
    seen: NDArray[np.bool_],
    needed: Sequence[int],
    rng: np.random.Generator,
) -> Candidates:
    """The candidates for the next proposals.

    Args:
        data: of the problem.
        neighbours: of its configs.
        seen: [configs], those that are not proposed again.
        needed: rows that must be among the candidates, since results of theirs are modelled.
        rng: draws the sample.
    """
    most = _most(len(needed))
    if len(data.table) <= most:
        rows, drawn_at = np.arange(len(data.table)), None
    else:
        near = _near_the_best(data, neighbours)
        rows, drawn_at = _sample(near, seen, needed, most, rng), len(data.times)
    return Candidates(rows, data.coordinates.of_rows(rows), data.features(rows), drawn_at)


def _most(num_results: int) -> int:
    return min(MOST_CANDIDATES, MOST_NUMBERS // (num_results + 1))


def _sample(
    near: Rows, seen: NDArray[np.bool_], needed: Sequence[int], most: int, rng: np.random.Generator
) -> Rows:
    """Some of the unseen configs near the best, others drawn from all, and what is needed."""
    near = near[~seen[near]]
    if len(near) > most * NEAR_SHARE:
        near = rng.choice(near, int(most * NEAR_SHARE), replace=False)
    drawn = rng.integers(len(seen), size=most - len(near))
    unseen = np.unique(np.concatenate([near, drawn[~seen[drawn]]]))
    if not len(unseen):
        unseen = np.flatnonzero(~seen)[:most]
    return np.union1d(unseen, np.asarray(needed, dtype=np.int64))


def _near_the_best(data: ProblemData, neighbours: Neighbours) -> Rows:
    """The neighbourhoods of the fastest configs, and what model and lessons put first."""
    timed = [(time, row) for row, time in data.times.items() if time is not None]
    centres = [row for _, row in sorted(timed)[:CENTRES]]
    parts = [neighbours.of(row) for row in centres]
    return np.unique(np.concatenate([data.favourites, *parts]))


def _changed(codes: NDArray[np.int64], sizes: Sequence[int]) -> NDArray[np.int64]:
    """The given rows of codes and every row that differs from one of them in one column."""
    changed = [codes]
    for column, size in enumerate(sizes):
        copies = np.repeat(codes, size, axis=0)
        copies[:, column] = np.tile(np.arange(size), len(codes))
        changed.append(copies)
    return np.concatenate(changed)
