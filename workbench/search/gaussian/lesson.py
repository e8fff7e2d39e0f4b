"""What another problem, or another GPU, teaches about this one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Coordinates, Floats, Matrix
from workbench.search.gaussian.process import Inputs, Observed, Posterior, Prior, compress, fit
from workbench.search.strategy import SeedRow
from workbench.trials.config_table import ConfigTable

# Below this many timed configs only the winner is carried over. Above the second, the best and a sample are kept.
LEAST_TIMED = 8
MOST_TIMED = 240
ITERATIONS = 30


class Lesson:
    """A landscape searched elsewhere: its winners, and where it has times its shape in this problem's coordinates.

    Args:
        rows: what was tried there; configs that this problem does not allow still tell of the shape.
        table: this problem's legal configs.
        coordinates: theirs.

    Attributes:
        winners: rows of this problem's table, best first.
        theta: hyper-parameters that describe that landscape, None where it has too few times.
    """

    def __init__(self, rows: Sequence[SeedRow], table: ConfigTable, coordinates: Coordinates) -> None:
        self._coordinates = coordinates
        usable = [row for row in rows if set(row.config) == set(table.names)]
        timed = [row for row in usable if row.time_us is not None or not row.chosen]
        places = [table.find(row.config) for row in usable]
        self.winners = _winners(usable, places)
        self.theta: Floats | None = None
        if sum(row.time_us is not None for row in timed) >= LEAST_TIMED:
            self._learn(timed, table)

    def _learn(self, rows: Sequence[SeedRow], table: ConfigTable) -> None:
        target = compress([row.time_us for row in rows])
        found = [table.find(row.config) for row in rows]
        self._exact = {place: value for place, value in zip(found, target, strict=True) if place is not None}
        kept = _sample(target)
        self._inputs = self._seen_by_process(
            self._coordinates.of_configs([rows[index].config for index in kept])
        )
        self._observed = Observed.of(self._inputs, target[kept])
        prior = Prior.of(self._coordinates.num_groups, 0)
        self.theta = fit(self._observed, prior, prior.mean, ITERATIONS)

    def _seen_by_process(self, x: Matrix) -> Inputs:
        """Without main effects: those need the levels of this problem's table."""
        none = np.zeros((len(x), 1), dtype=np.float32)
        return Inputs(x, self._coordinates.groups, none, np.zeros(1, dtype=np.intp))

    def at(self, rows: NDArray[np.int64]) -> Matrix:
        """[rows], the landscape's compressed time at some configs: as told, or else as estimated."""
        assert self.theta is not None
        posterior = Posterior(self.theta, self._seen_by_process(self._coordinates.of_rows(rows)))
        posterior.condition(self._inputs, self._observed)
        estimate, _ = posterior.predict(self._observed.target)
        for place, row in enumerate(rows.tolist()):
            if row in self._exact:
                estimate[place] = self._exact[row]
        return estimate


def _winners(rows: Sequence[SeedRow], places: Sequence[int | None]) -> list[int]:
    """Chosen configs first, then the timed from the fastest; those that the table has, each once."""
    ranked = [
        (not row.chosen, np.inf if row.time_us is None else row.time_us, index)
        for index, row in enumerate(rows)
        if row.chosen or row.time_us is not None
    ]
    best = (places[index] for *_, index in sorted(ranked))
    return list(dict.fromkeys(place for place in best if place is not None))


def _sample(target: Floats) -> NDArray[np.int64]:
    """The best half of what is kept, and the rest evenly by rank."""
    order = np.argsort(target, kind="stable")
    if len(order) <= MOST_TIMED:
        return order
    half = MOST_TIMED // 2
    rest = np.linspace(half, len(order) - 1, MOST_TIMED - half).astype(np.int64)
    sample: NDArray[np.int64] = order[np.concatenate([np.arange(half), rest])]
    return sample
