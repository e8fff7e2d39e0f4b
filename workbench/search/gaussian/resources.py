"""What the compiler says of some configs, as coordinates of all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Matrix
from workbench.search.strategy import Known

# Fewer than this many compiled configs cannot tell how a resource depends on the parameters.
LEAST_KNOWN = 16
RIDGE = 1e-2


class Resources:
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


def _regress(x: Matrix, y: Matrix, everywhere: Matrix) -> Matrix:
    """Ridge regression of y on x, evaluated everywhere."""
    centre, offset = x.mean(axis=0), y.mean(axis=0)
    gram = (x - centre).T @ (x - centre) + np.float32(RIDGE) * np.eye(x.shape[1], dtype=np.float32)
    slope = np.linalg.solve(gram, (x - centre).T @ (y - offset))
    result: Matrix = (everywhere - centre) @ slope + offset
    return result
