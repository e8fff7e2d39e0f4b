"""What a ranking is worth: where it puts the winners of tables that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.ranking.choices import Choice
from workbench.ranking.grid import grid_tiles
from workbench.ranking.ranker import Ranker
from workbench.ranking.workload import Array


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a ranking puts one winner.

    Attributes:
        rank: how many candidates it scores better, and half of those it scores the same.
        percentile: the rank as per cent of the candidates.
    """

    choice: Choice
    rank: float
    percentile: float


@dataclass(frozen=True, slots=True)
class Worth:
    """Many placings in short.

    Attributes:
        median: percentile.
        within: per cent of them in the best 10 and 30 per cent.
        top: per cent of them among the first 50, 100 and 200.
    """

    rows: int
    median: float
    within: tuple[float, float]
    top: tuple[float, float, float]

    @classmethod
    def of(cls, placings: Sequence[Placing]) -> Worth:
        """The summary of at least one placing."""
        percentiles = np.asarray([each.percentile for each in placings])
        ranks = np.asarray([each.rank for each in placings])
        return cls(
            len(placings),
            float(np.median(percentiles)),
            (_share(percentiles <= 10), _share(percentiles <= 30)),
            (_share(ranks < 50), _share(ranks < 100), _share(ranks < 200)),
        )


def place(ranker: Ranker, choices: Sequence[Choice]) -> tuple[Placing, ...]:
    """Where a ranking puts the winner of each choice among its candidates."""
    if not choices:
        return ()
    workloads, boards = [each.workload for each in choices], [each.board for each in choices]
    scores = ranker.scores(workloads, boards, grid_tiles())
    return tuple(map(_placing, choices, scores))


def _placing(choice: Choice, scores: Array) -> Placing:
    among, own = scores[choice.candidates], scores[choice.winner]
    rank = float((among < own).sum() + (np.count_nonzero(among == own) - 1) / 2)
    return Placing(choice, rank, 100 * rank / len(among))


def _share(hits: np.ndarray) -> float:
    return 100 * float(np.mean(hits))
