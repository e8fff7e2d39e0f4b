"""The grid that vLLM's and SGLang's tuners search: 1,920 configs, the same for both engines."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TypeAlias

import numpy as np

from workbench.ranking.workload import Tiles

Row: TypeAlias = tuple[int, ...]

VALUES: Mapping[str, tuple[int, ...]] = {
    "BLOCK_SIZE_M": (16, 32, 64, 128, 256),
    "BLOCK_SIZE_N": (32, 64, 128, 256),
    "BLOCK_SIZE_K": (64, 128, 256),
    "GROUP_SIZE_M": (1, 16, 32, 64),
    "num_warps": (4, 8),
    "num_stages": (2, 3, 4, 5),
}

GRID: tuple[Row, ...] = tuple(product(*VALUES.values()))
ROW_OF: Mapping[Row, int] = {row: place for place, row in enumerate(GRID)}


def grid_tiles() -> Tiles:
    """The grid as columns, its last parameter varying fastest."""
    return Tiles(*np.asarray(GRID, dtype=np.float64).T)
