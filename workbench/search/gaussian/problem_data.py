"""What is known of one problem's configs: times, what the compiler says, a model's estimate, lessons from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Coordinates, MainEffects, Matrix
from workbench.search.gaussian.lesson import Lesson
from workbench.search.strategy import Known
from workbench.trials.config_table import ConfigTable

# So many configs that the model, and each lesson, put first are always looked at.
FAVOURITES = 500
# Fewer than this many compiled configs cannot tell how a resource depends on the parameters.
LEAST_KNOWN = 16
RIDGE = 1e-2


class ProblemData:
    """Everything that is known of the configs of one problem, laid out for the Gaussian process.

    Args:
        table: the legal configs.
        coordinates: theirs.
        prior: ln of a modelled time of each config, None where there is no model.

    Attributes:
        model: [configs], the prior with mean 0 and standard deviation 1, None where it says nothing.
        times: microseconds by row, in the order in which they were told; None for a config that failed.
        lessons: what was learned elsewhere, the nearest first.
    """

    def __init__(
        self, table: ConfigTable, coordinates: Coordinates, prior: NDArray[np.float64] | None
    ) -> None:
        self.table, self.coordinates = table, coordinates
        self._effects = MainEffects(table, coordinates.of_levels())
        self.model = _standardised(prior)
        self.times: dict[int, float | None] = {}
        self.resources = ResourceEstimates()
        self.lessons: Sequence[Lesson] = ()

    @property
    def landscapes(self) -> tuple[Lesson, ...]:
        """The lessons that have a shape, not only winners."""
        return tuple(lesson for lesson in self.lessons if lesson.theta is not None)

    @property
    def favourites(self) -> NDArray[np.int64]:
        """Rows that the model and the lessons put first."""
        ranked = [np.asarray(lesson.winners[:FAVOURITES], dtype=np.int64) for lesson in self.lessons]
        if self.model is not None:
            ranked.append(np.argpartition(self.model, min(FAVOURITES, len(self.model) - 1))[:FAVOURITES])
        return np.concatenate([np.zeros(0, dtype=np.int64), *ranked])

    def features(self, rows: NDArray[np.int64]) -> Matrix:
        """[rows, features]: main effects, and what may predict the target up to a factor: lessons and the model."""
        columns = [lesson.at(rows) for lesson in self.landscapes]
        if self.model is not None:
            columns.append(self.model[rows])
        return np.concatenate([self._effects.of_rows(rows), *(each[:, None] for each in columns)], axis=1)

    @property
    def num_predictors(self) -> int:
        """How many features there are beside the main effects."""
        return len(self.landscapes) + (self.model is not None)

    @property
    def feature_groups(self) -> NDArray[np.intp]:
        """[features], the group of each: the main effects share the first."""
        return np.concatenate(
            [np.zeros(self._effects.width, dtype=np.intp), 1 + np.arange(self.num_predictors)]
        )


class ResourceEstimates:
    """Registers, spills, shared memory, occupancy, waves and modelled time of the configs that were compiled.

    Of a config not compiled yet they are read off a ridge regression on its coordinates: resources are close to
    products of powers of the parameters, which is what those are made of.
    """

    def __init__(self) -> None:
        self._known: dict[int, list[float]] = {}

    def add(self, row: int, known: Known) -> None:
        """Takes note of one config."""
        modelled = known.modelled_us if known.modelled_us and known.modelled_us > 0 else np.nan
        raw = (known.registers, known.spill_bytes, known.shared_bytes, known.blocks_per_sm, known.waves)
        logs = [np.nan if value is None else float(np.log1p(max(0.0, value))) for value in raw]
        self._known[row] = [
            value if np.isfinite(value) else np.nan for value in (*logs, float(np.log(modelled)))
        ]

    def coordinates(self, coordinates: Matrix, rows: NDArray[np.int64]) -> Matrix:
        """[rows, resources], each between 0 and 1, of those resources that differ between configs.

        Args:
            coordinates: [rows, coordinates] of these configs.
            rows: their rows in the table; those that were compiled are what the others are estimated from.
        """
        known_at = (
            np.flatnonzero(np.isin(rows, list(self._known))) if self._known else np.zeros(0, dtype=np.intp)
        )
        if len(known_at) < LEAST_KNOWN:
            return np.zeros((len(rows), 0), dtype=np.float32)
        values = np.asarray([self._known[int(rows[place])] for place in known_at])
        values = values[:, np.isfinite(values).all(axis=0)]
        values = values[:, np.ptp(values, axis=0) > 1e-9]
        low, span = values.min(axis=0), np.ptp(values, axis=0)
        scaled = ((values - low) / span).astype(np.float32)
        estimate = np.clip(_regress(coordinates[known_at], scaled, coordinates), -0.5, 1.5)
        estimate[known_at] = scaled
        return estimate


def _standardised(prior: NDArray[np.float64] | None) -> Matrix | None:
    """Mean 0 and standard deviation 1; a config of which the model says nothing gets the worst that it says."""
    if prior is None or not len(prior) or not (finite := np.isfinite(prior)).any():
        return None
    filled = np.where(finite, prior, prior[finite].max())
    spread = filled.std()
    return ((filled - filled.mean()) / spread).astype(np.float32) if spread > 1e-9 else None


def _regress(x: Matrix, y: Matrix, everywhere: Matrix) -> Matrix:
    """Ridge regression of y on x, evaluated everywhere."""
    centre, offset = x.mean(axis=0), y.mean(axis=0)
    gram = (x - centre).T @ (x - centre) + np.float32(RIDGE) * np.eye(x.shape[1], dtype=np.float32)
    slope = np.linalg.solve(gram, (x - centre).T @ (y - offset))
    result: Matrix = (everywhere - centre) @ slope + offset
    return result
