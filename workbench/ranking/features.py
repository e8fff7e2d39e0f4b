"""What the ranker looks at: figures of a workload on a GPU, and figures of a config; its weights pair the two.

A GPU is figures too (bandwidth and tensor-core rate per SM, SMs, L2) and not only a name of an architecture, so that
one without a table is placed among those that have some. Every figure is clipped to what tables have shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.ranking.board import Board
from workbench.ranking.grid import VALUES
from workbench.ranking.workload import Array, Tiles, Workload

WORKLOAD_FEATURES = (
    "one", "load", "load^2", "load>4", "sm_90", "sm_100", "width", "hidden", "bandwidth", "intensity", "sms",
    "weights/L2", "8-bit", "gddr", "gddr*load", "bandwidth*load", "intensity*load", "sm_100*load", "sm_90*load",
    "width*load",
)  # fmt: skip
_SHORT = {
    "BLOCK_SIZE_M": "BM", "BLOCK_SIZE_N": "BN", "BLOCK_SIZE_K": "BK", "GROUP_SIZE_M": "G",
    "num_warps": "w", "num_stages": "s",
}  # fmt: skip
_PRODUCTS = ("BM*BN", "BM*BK", "BN*BK", "BM*w", "BN*w", "BK*s", "BN*s", "BM*s", "BK*w", "BM*BM", "BN*BN")
_CENTRES = {"BM": 6.0, "BN": 6.5, "BK": 7.0, "w": 2.5, "s": 3.5}
CONFIG_FEATURES = (
    *(f"{_SHORT[name]}={value}" for name, values in VALUES.items() for value in values),
    *_PRODUCTS,
)


def workload_features(workloads: Sequence[Workload], boards: Sequence[Board]) -> Array:
    """[workloads, WORKLOAD_FEATURES]; each workload on the board of the same place."""
    return np.asarray([_features(*pair) for pair in zip(workloads, boards, strict=True)])


def _features(workload: Workload, board: Board) -> tuple[float, ...]:
    load = _log(workload.tokens_per_expert, 1, -4, 10.5) / 4
    hopper, blackwell = float(board.compute_capability == 90), float(board.tensor_memory)
    flops_per_us = board.bf16_flops_per_cycle * board.sm_count * board.clock_ghz * 1e3
    weights = 3 * workload.num_experts * workload.intermediate_size * workload.hidden_size
    width = _log(workload.intermediate_size, 700, -4, 4) / 2
    bandwidth = _log(board.dram_bytes_per_us / board.sm_count, 25_000, -3, 1.5)
    intensity = _log(flops_per_us / board.dram_bytes_per_us, 300, -3, 2)
    return (
        1.0,
        load,
        load**2,
        max(0.0, load - 1),
        hopper,
        blackwell,
        width,
        _log(workload.hidden_size, 3000, -2, 2),
        bandwidth,
        intensity,
        _log(board.sm_count, 132, -2, 1),
        _log(weights * workload.weight_bytes / board.l2_bytes, 20, -8, 8) / 4,
        float(workload.element_bytes == 1),
        board.segment_gddr,
        board.segment_gddr * load,
        bandwidth * load,
        intensity * load,
        blackwell * load,
        hopper * load,
        width * load,
    )


def config_features(tiles: Tiles) -> Array:
    """[configs, CONFIG_FEATURES]; a value between two of the grid is shared out between them."""
    hats = [_hats(column, values) for column, values in zip(tiles.columns(), VALUES.values(), strict=True)]
    products = np.stack([_product(tiles, *name.split("*")) for name in _PRODUCTS], axis=1)
    return np.concatenate([*hats, products / 2], axis=1)


def _hats(column: Array, values: Sequence[int]) -> Array:
    """[configs, values] 1 at a value's own column, and linear in the logarithm between two."""
    place = np.interp(np.log2(column), np.log2(values), np.arange(len(values)))
    hats: Array = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(len(values))))
    return hats


def _product(tiles: Tiles, first: str, second: str) -> Array:
    return _centred(tiles, first) * _centred(tiles, second)


def _centred(tiles: Tiles, short: str) -> Array:
    name = next(name for name, known in _SHORT.items() if known == short)
    column = dict(zip(VALUES, tiles.columns(), strict=True))[name]
    inside = np.clip(column, min(VALUES[name]), max(VALUES[name]))
    return (inside if short == "s" else np.log2(inside)) - _CENTRES[short]


def _log(value: float, unit: float, low: float, high: float) -> float:
    return float(np.clip(np.log2(value / unit), low, high))
