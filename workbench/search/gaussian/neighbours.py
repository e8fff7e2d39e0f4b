"""Which configs a search looks at where there are too many to look at all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.trials.config_table import ConfigTable

Rows = NDArray[np.int64]

# Two parameters at a time are looked at only where that makes no more codes than this.
MOST_CODES = 50_000


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


def _changed(codes: NDArray[np.int64], sizes: Sequence[int]) -> NDArray[np.int64]:
    """The given rows of codes and every row that differs from one of them in one column."""
    changed = [codes]
    for column, size in enumerate(sizes):
        copies = np.repeat(codes, size, axis=0)
        copies[:, column] = np.tile(np.arange(size), len(codes))
        changed.append(copies)
    return np.concatenate(changed)
