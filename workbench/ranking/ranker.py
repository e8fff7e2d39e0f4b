"""Ranks configs of the experts without a GPU: a cost model, and a linear ranker fitted to which configs win.

    score = ln(cost model) - x(workload, GPU) W f(config) / slope

Lower is better; differences read like differences of ln time, but a score is no time. It is the prior of a search (its
mean function, its first proposals), never a reason to drop a config.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.base.errors import InputError
from workbench.base.files import read_bytes
from workbench.devices.device import Device
from workbench.ranking.board import Board
from workbench.ranking.cost import START, Constants, CostModel
from workbench.ranking.features import (
    CONFIG_FEATURES,
    WORKLOAD_FEATURES,
    config_features,
    workload_features,
)
from workbench.ranking.legality import held_bytes
from workbench.ranking.workload import Array, Tiles, Workload

if TYPE_CHECKING:
    from workbench.ranking.workload import Configs

SCHEMA = "workbench.ranking/1"
FITTED = Path(__file__).with_name("fitted.json")
MAX_BYTES = 1 << 20
# Added to the score of a config whose shared memory exceeds the GPU's by the closed form: behind, but never dropped.
OVERFULL = 3.0


@dataclass(frozen=True, slots=True)
class Ranker:
    """A fitted ranking.

    Attributes:
        constants: of the cost model.
        slope: how much a unit of ln cost counts, in units of the weights; above 0.
        weights: [WORKLOAD_FEATURES, CONFIG_FEATURES].
        provenance: what it was fitted to, and when.
    """

    constants: Constants
    slope: float
    weights: Array = field(repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, workloads: Sequence[Workload], boards: Sequence[Board], tiles: Tiles) -> Array:
        """[workloads, configs] scores, each workload on the board of the same place; lower is better."""
        distinct, place = _without_groups(tiles)
        cost = CostModel(workloads, boards, distinct).ln_us(self.constants)
        likes = workload_features(workloads, boards) @ self.weights @ config_features(tiles).T
        return cost[:, place] - likes / self.slope


def rank(
    workloads: Workload | Sequence[Workload],
    device: Device | Board,
    configs: Configs | Tiles,
    ranker: Ranker | None = None,
) -> Array:
    """Scores configs for a workload, or for each of several, on one GPU; lower is better.

    Configs that cannot launch were never among those that a winner was chosen from, so they are put behind.

    Args:
        workloads: one, or several.
        device: of the catalogue or of the user's own.
        configs: a table or sequence of configs with the engines' six parameters; others make no difference.
        ranker: of a fit of one's own, otherwise the one that ships.

    Returns:
        [configs] for one workload, [workloads, configs] for several.

    Raises:
        InputError: a config lacks a parameter, or no GPU like the device is known.
    """
    several = [workloads] if isinstance(workloads, Workload) else list(workloads)
    board = device if isinstance(device, Board) else Board.of(device)
    tiles = configs if isinstance(configs, Tiles) else Tiles.of(configs)
    scores = (ranker or shipped_ranker()).scores(several, [board] * len(several), tiles)
    element, weight = (
        np.asarray([[getattr(each, name)] for each in several]) for name in ("element_bytes", "weight_bytes")
    )
    held = held_bytes(tiles, board.compute_capability, element, weight)
    scores = scores + np.where(held <= board.shared_bytes_per_block, 0, OVERFULL)
    return scores[0] if isinstance(workloads, Workload) else scores


@cache
def shipped_ranker() -> Ranker:
    """The fit that ships with the package."""
    return load_ranker(FITTED)


def load_ranker(path: Path) -> Ranker:
    """Reads a fit.

    Raises:
        InputError: the file cannot be read, or is no fit of this version.
    """
    content = read_bytes(path, MAX_BYTES)
    try:
        return _parse(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"is no {SCHEMA} file ({type(error).__name__}: {error})", file=path) from error


def serialise(ranker: Ranker) -> str:
    """The text of a fit's file; a weight has its two features' names."""
    rows = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(dict(zip(CONFIG_FEATURES, map(_short, row), strict=True)))}"
        for name, row in zip(WORKLOAD_FEATURES, ranker.weights, strict=True)
    )
    head = {
        "schema": SCHEMA,
        "provenance": dict(ranker.provenance),
        "constants": {name: _short(value, 6) for name, value in ranker.constants.items()},
        "slope": _short(ranker.slope, 6),
    }
    return json.dumps(head, indent=1).removesuffix("\n}") + f',\n "weights": {{\n{rows}\n }}\n}}\n'


def _parse(fields: Mapping[str, Any]) -> Ranker:
    if fields["schema"] != SCHEMA:
        raise ValueError(f"its schema is {str(fields['schema'])[:60]!r}")
    constants = {name: _positive(name, fields["constants"][name]) for name in START}
    weights = np.asarray(
        [[fields["weights"][row][column] for column in CONFIG_FEATURES] for row in WORKLOAD_FEATURES],
        dtype=np.float64,
    )
    if not np.isfinite(weights).all():
        raise ValueError("a weight is not finite")
    return Ranker(constants, _positive("slope", fields["slope"]), weights, dict(fields["provenance"]))


def _positive(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive number")
    return float(value)


def _short(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def _without_groups(tiles: Tiles) -> tuple[Tiles, Any]:
    """The configs that differ in more than GROUP_SIZE_M, and where each config is among them."""
    keys = np.stack([tiles.m, tiles.n, tiles.k, tiles.warps, tiles.stages])
    _, first, place = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    return tiles.take(first), place.ravel()
