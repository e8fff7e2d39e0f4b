"""Fits the ranking to choices: the cost model's constants first, then the linear ranker on top of it.

Both are conditional logits: a config wins with a probability proportional to exp(-score / tau), and the fit makes the
configs that did win as likely as it can. Fitting is deterministic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from workbench.base.errors import InputError
from workbench.ranking.choices import Choice, target
from workbench.ranking.cost import START, Constants, CostModel
from workbench.ranking.features import (
    CONFIG_FEATURES,
    WORKLOAD_FEATURES,
    config_features,
    workload_features,
)
from workbench.ranking.grid import grid_tiles
from workbench.ranking.ranker import Ranker
from workbench.ranking.tables import CollectedTables
from workbench.ranking.workload import Array, Tiles

# Strength of the pull of constants to where they start, and of weights to 0, in units of one choice's likelihood.
CONSTANTS_PULL = 4.0
WEIGHTS_PULL = 2.5
CONSTANTS_STEPS = 25
WEIGHTS_STEPS = 80
# The fit of constants looks at so many choices, and at so many losers of each; at all of them it would take an hour.
SAMPLED_CHOICES = 600
SAMPLED_LOSERS = 24
START_SLOPE = 15.0
# Constants that are shares.
MOST: Constants = {"hard_waves": 1.0, "serial_prologue": 1.0}
_GRID = grid_tiles()


def fit(
    choices: Sequence[Choice], provenance: Mapping[str, Any] | None = None, constants: Constants | None = None
) -> Ranker:
    """Fits constants and weights.

    Args:
        choices: what to learn from; those of weight 0 are left out.
        provenance: kept in the fit.
        constants: of the cost model, where they are to stay as they are.

    Raises:
        InputError: there is nothing to learn from.
    """
    counted = [choice for choice in choices if choice.weight > 0]
    if not counted:
        raise InputError("there is no row to learn from: no table of 16-bit weights, and no measured journal")
    constants = constants or fit_constants(counted)
    weights, slope = _fit_weights(counted, constants)
    return Ranker(constants, slope, weights, provenance or {})


def provenance(
    choices: Sequence[Choice], collected: CollectedTables | None, journals: Sequence[Path]
) -> Mapping[str, Any]:
    """What a fit says of itself: which tables and journals, how many rows of which GPUs, and when.

    Args:
        choices: all that were read; those of weight 0 do not count.
        collected: the tables they come from, where there are some.
        journals: folders of runs.
    """
    rows = Counter(f"{choice.board.name}, {choice.workload.dtype}" for choice in choices if choice.weight > 0)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "tables": dict(collected.sources) if collected else {},
        "journals": [journal.name for journal in journals],
        "rows": dict(sorted(rows.items())),
    }


def fit_constants(choices: Sequence[Choice]) -> Constants:
    """Fits the cost model's constants, each on a logarithmic scale, to some winners among some losers."""
    sample = _Sample.of(choices)
    names = list(START)
    start = np.log([START[name] for name in names])
    pull = CONSTANTS_PULL / sample.weights.sum()

    def loss(values: Array) -> float:
        constants = dict(zip(names, np.exp(values), strict=True))
        distance = float(((values - start) ** 2).sum())
        return float(sample.loss(constants) + pull * distance)

    bounds = [
        (value - 4, min(value + 4, np.log(MOST.get(name, np.inf))))
        for name, value in zip(names, start, strict=True)
    ]
    options = {"maxiter": CONSTANTS_STEPS, "eps": 1e-4}
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds, options=options).x
    return {name: float(np.exp(value)) for name, value in zip(names, found, strict=True)}


@dataclass(frozen=True, slots=True)
class _Sample:
    """Each choice's winner beside some of its losers, with GROUP_SIZE_M left out of account.

    Attributes:
        model: the cost model over [choices, 1 + losers] configs, the winner first.
        weights: [choices].
        crowd: [choices] ln of how many losers each sampled one stands for.
    """

    model: CostModel
    weights: Array
    crowd: Array

    @classmethod
    def of(cls, choices: Sequence[Choice]) -> _Sample:
        random = np.random.default_rng(0)
        if len(choices) > SAMPLED_CHOICES:
            places = random.choice(len(choices), SAMPLED_CHOICES, replace=False)
            choices = [choices[place] for place in places]
        picked = np.asarray([_pick(choice, random) for choice in choices])
        tiles = Tiles(*(column[picked] for column in _GRID.columns()))
        model = CostModel([each.workload for each in choices], [each.board for each in choices], tiles)
        crowd = np.log([(len(each.candidates) - 1) / SAMPLED_LOSERS for each in choices])
        return cls(model, np.asarray([each.weight for each in choices]), crowd)

    def loss(self, constants: Constants) -> float:
        """Mean -ln of the winners' probabilities."""
        logits = -self.model.ln_us(constants) / constants["tau"]
        logits[:, 1:] += self.crowd[:, None]
        highest = logits.max(axis=1)
        total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
        return float(np.average(total - logits[:, 0], weights=self.weights))


def _pick(choice: Choice, random: np.random.Generator) -> NDArray[np.int64]:
    losers = choice.candidates[choice.candidates != choice.winner]
    return np.concatenate([[choice.winner], random.choice(losers, SAMPLED_LOSERS)])


def _fit_weights(choices: Sequence[Choice], constants: Constants) -> tuple[Array, float]:
    problem = _Weights(choices, constants)
    start = np.zeros(problem.size + 1)
    start[-1] = START_SLOPE
    bounds = [(None, None)] * problem.size + [(1.0, 200.0)]
    options = {"maxiter": WEIGHTS_STEPS, "maxcor": 20}
    found = minimize(problem.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return found[:-1].reshape(problem.shape), float(found[-1])


class _Weights:
    """The loss of the linear ranker and its gradient; in single precision, where a whole grid a choice stays small."""

    shape = len(WORKLOAD_FEATURES), len(CONFIG_FEATURES)
    size = shape[0] * shape[1]

    def __init__(self, choices: Sequence[Choice], constants: Constants) -> None:
        workloads, boards = [each.workload for each in choices], [each.board for each in choices]
        self.features = workload_features(workloads, boards).astype(np.float32)
        self.configs = config_features(_GRID).astype(np.float32)
        plain = Ranker(constants, 1.0, np.zeros(self.shape))
        self.cost = plain.scores(workloads, boards, _GRID).astype(np.float32)
        among, self.shares = target(choices)
        self.barred = np.where(among, 0, -1e9).astype(np.float32)
        weights = np.asarray([each.weight for each in choices], dtype=np.float32)
        self.weights, self.pull = weights / weights.sum(), WEIGHTS_PULL / float(weights.sum())

    def loss(self, values: Array) -> tuple[float, Array]:
        weights, slope = values[:-1].reshape(self.shape), values[-1]
        logits = self.features @ weights.astype(np.float32) @ self.configs.T
        logits += self.barred - np.float32(slope) * self.cost
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(axis=1)
        fit = float(self.weights @ (np.log(total) - (self.shares * np.maximum(logits, -1e8)).sum(axis=1)))
        excess = (odds / total[:, None] - self.shares) * self.weights[:, None]
        gradient = self.features.T @ (excess @ self.configs) + 2 * self.pull * weights
        slope_gradient = -float((excess * self.cost).sum())
        return fit + self.pull * float((weights**2).sum()), np.append(gradient.ravel(), slope_gradient)
