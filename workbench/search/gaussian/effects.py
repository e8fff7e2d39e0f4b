"""Main effects: a smooth function of each parameter alone; their sum reaches configs far from any that was tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Floats, Matrix
from workbench.trials.config_table import ConfigTable

# Length scale of an effect, its parameter's levels spread over [0, 1]; and the least variance of a feature kept.
LENGTH_SCALE, LEAST_VARIANCE = 0.7, 1e-3


class MainEffects:
    """Features whose products sum to the mean, over the parameters, of a Matern-5/2 covariance of each.

    Args:
        table: the legal configs.
        positions: for each parameter [levels, coordinates], where its levels lie; no columns where it is constant.

    Attributes:
        width: how many features there are.
    """

    def __init__(self, table: ConfigTable, positions: Sequence[Matrix]) -> None:
        self._table = table
        varying = max(1, sum(each.shape[1] > 0 for each in positions))
        self._by_level = [_factor(_matern(each)) / np.sqrt(varying) for each in positions]
        self.width = sum(each.shape[1] for each in self._by_level)

    def of_rows(self, rows: NDArray[np.int64]) -> Matrix:
        """[rows, features] of some configs of the table."""
        columns = [values[self._table.codes[rows, column]] for column, values in enumerate(self._by_level)]
        return np.concatenate(columns, axis=1).astype(np.float32)


def _matern(positions: Matrix) -> Floats:
    """[levels, levels], zero where the parameter is constant."""
    if not positions.shape[1]:
        return np.zeros((len(positions), len(positions)))
    r2 = ((positions[:, None] - positions[None]) ** 2).sum(axis=2).astype(np.float64) / LENGTH_SCALE**2
    r = np.sqrt(5 * r2)
    result: Floats = (1 + r + 5 / 3 * r2) * np.exp(-r)
    return result


def _factor(covariance: Floats) -> Floats:
    """[levels, features], whose products give the covariance but for what little variance is left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > LEAST_VARIANCE
    factor: Floats = vectors[:, kept] * np.sqrt(values[kept])
    return factor
