"""The first configs, before there is anything to model: every level equally often, far from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.trials.config_table import ConfigTable

POOL = 1000


def next_spread(
    table: ConfigTable, taken: Sequence[int], unseen: NDArray[np.int64], rng: np.random.Generator
) -> int:
    """The unseen config that best balances how often levels were used with distance to what was taken.

    Args:
        table: the legal configs.
        taken: rows taken so far.
        unseen: rows to choose from, at least one; at most `POOL` of them are looked at.
        rng: draws those.

    Returns:
        A row of `unseen`.
    """
    if not taken:
        return int(rng.choice(unseen))
    pool = rng.choice(unseen, POOL, replace=False) if len(unseen) > POOL else unseen
    spread = _distance(table, pool, np.asarray(taken))
    width = len(table.names)
    return int(pool[np.argmax(width * spread / max(spread.max(), 1e-9) - _crowding(table, pool, taken))])


def _crowding(table: ConfigTable, pool: NDArray[np.int64], taken: Sequence[int]) -> NDArray[np.float64]:
    """How often each config's levels were used, relative to their even share, summed over the parameters."""
    crowding = np.zeros(len(pool))
    for column, levels in enumerate(table.levels.values()):
        used = np.bincount(table.codes[np.asarray(taken), column], minlength=len(levels))
        crowding += used[table.codes[pool, column]] / max(1.0, len(taken) / len(levels))
    return crowding


def _distance(table: ConfigTable, pool: NDArray[np.int64], taken: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distance to the nearest taken config, each parameter by the rank of its level between 0 and 1."""
    squares = np.zeros((len(pool), len(taken)))
    for column, levels in enumerate(table.levels.values()):
        rank = np.linspace(0, 1, len(levels))
        if all(isinstance(level, int | float) for level in levels):
            rank = np.argsort(np.argsort(np.asarray(levels, dtype=np.float64))) / max(1, len(levels) - 1)
        codes = table.codes[:, column]
        squares += (rank[codes[pool]][:, None] - rank[codes[taken]][None]) ** 2
    nearest: NDArray[np.float64] = np.sqrt(squares.min(axis=1))
    return nearest
