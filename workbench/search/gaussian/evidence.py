"""Everything that is known of one problem's configs, laid out for the Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Coordinates, Matrix
from workbench.search.gaussian.effects import MainEffects
from workbench.search.gaussian.lesson import Lesson
from workbench.search.gaussian.neighbours import Neighbours
from workbench.search.gaussian.resources import Resources
from workbench.trials.config_table import ConfigTable

# So many configs that the model, and each lesson, put first are always looked at.
FAVOURITES = 500


class Evidence:
    """What is known of the configs of one problem.

    Args:
        table: the legal configs.
        coordinates: theirs.
        prior: ln of a modelled time of each config, None where there is no model.

    Attributes:
        table: as given.
        coordinates: as given.
        model: the prior with mean 0 and standard deviation 1, None where it says nothing.
        times: what was told, in that order; None for a config that failed.
        resources: what compiling told.
        lessons: what was learned elsewhere, the nearest first.
        neighbours: finds configs that are close to one.
    """

    def __init__(
        self, table: ConfigTable, coordinates: Coordinates, prior: NDArray[np.float64] | None
    ) -> None:
        self.table, self.coordinates = table, coordinates
        self._effects = MainEffects(table, coordinates.of_levels())
        self.model = _standardised(prior)
        self.times: dict[int, float | None] = {}
        self.resources = Resources()
        self.lessons: Sequence[Lesson] = ()
        self.neighbours = Neighbours(table)

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


def _standardised(prior: NDArray[np.float64] | None) -> Matrix | None:
    """Mean 0 and standard deviation 1; a config of which the model says nothing gets the worst that it says."""
    if prior is None or not len(prior) or not (finite := np.isfinite(prior)).any():
        return None
    filled = np.where(finite, prior, prior[finite].max())
    spread = filled.std()
    return ((filled - filled.mean()) / spread).astype(np.float32) if spread > 1e-9 else None
