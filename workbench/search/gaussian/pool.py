"""The candidates that a search looks at: all legal configs, or where those are too many a sample and neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Matrix
from workbench.search.gaussian.evidence import Evidence

# Most candidates, and most numbers kept of them (one for each candidate and result).
MOST_CANDIDATES, MOST_NUMBERS = 30_000, 20_000_000
# A sample holds the neighbourhoods of so many of the best configs, and is drawn anew after so many results.
CENTRES, REDRAW_AFTER = 8, 16
# Most of a sample that neighbourhoods may take.
NEAR_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates with what does not change as results come in.

    Attributes:
        rows: [candidates], ascending rows of the table.
        x: [candidates, coordinates].
        features: [candidates, features].
        drawn_at: how many results there were then, None where the pool holds every config.
    """

    rows: NDArray[np.int64]
    x: Matrix
    features: Matrix
    drawn_at: int | None

    def places(self, rows: Sequence[int]) -> NDArray[np.int64] | None:
        """[rows], where in the pool they are; None where it lacks one of them."""
        wanted = np.asarray(rows, dtype=np.int64)
        places = np.searchsorted(self.rows, wanted)
        inside = places < len(self.rows)
        if not inside.all() or not (self.rows[places] == wanted).all():
            return None
        return places

    def is_current(self, evidence: Evidence, needed: Sequence[int]) -> bool:
        """Whether it need not be drawn anew."""
        too_many = len(self.rows) > _most(len(needed))
        old = self.drawn_at is not None and len(evidence.times) - self.drawn_at >= REDRAW_AFTER
        return not too_many and not old and self.places(needed) is not None


def draw_pool(
    evidence: Evidence, seen: NDArray[np.bool_], needed: Sequence[int], rng: np.random.Generator
) -> Pool:
    """The candidates for the next proposals.

    Args:
        evidence: of the problem.
        seen: [configs], those that are not proposed again.
        needed: rows that must be among the candidates, since results of theirs are modelled.
        rng: draws the sample.
    """
    most = _most(len(needed))
    whole = len(evidence.table) <= most
    rows = np.arange(len(evidence.table)) if whole else _sample(evidence, seen, needed, most, rng)
    drawn_at = None if whole else len(evidence.times)
    return Pool(rows, evidence.coordinates.of_rows(rows), evidence.features(rows), drawn_at)


def _most(num_results: int) -> int:
    return min(MOST_CANDIDATES, MOST_NUMBERS // (num_results + 1))


def _sample(
    evidence: Evidence, seen: NDArray[np.bool_], needed: Sequence[int], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    near = _near_the_best(evidence)
    near = near[~seen[near]]
    if len(near) > most * NEAR_SHARE:
        near = rng.choice(near, int(most * NEAR_SHARE), replace=False)
    drawn = rng.integers(len(seen), size=most - len(near))
    unseen = np.unique(np.concatenate([near, drawn[~seen[drawn]]]))
    if not len(unseen):
        unseen = np.flatnonzero(~seen)[:most]
    return np.union1d(unseen, np.asarray(needed, dtype=np.int64))


def _near_the_best(evidence: Evidence) -> NDArray[np.int64]:
    """The neighbourhoods of the fastest configs, and what model and lessons put first."""
    timed = [(time, row) for row, time in evidence.times.items() if time is not None]
    centres = [row for _, row in sorted(timed)[:CENTRES]]
    parts = [evidence.neighbours.of(row) for row in centres]
    return np.unique(np.concatenate([evidence.favourites, *parts]))
