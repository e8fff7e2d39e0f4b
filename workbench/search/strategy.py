"""What a search is given, and what it must answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Parameter, Problem
from workbench.trials.config_table import ConfigTable


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One config that somebody timed, or chose, elsewhere.

    Attributes:
        config: every parameter.
        time_us: its time there, None where it failed or where only the choice is known.
        chosen: True for a winner.
    """

    config: Config
    time_us: float | None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Rows that may be compared with each other: one problem on one GPU, timed in one way.

    Attributes:
        source: where they come from, for people.
        problem: the problem, every axis; another than any of this search, perhaps.
    """

    source: str
    problem: Problem
    rows: tuple[SeedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a config before it is timed.

    Attributes:
        modelled_us: the model's estimate, microseconds; it ranks and is no time.
        registers: most registers a thread of any of its launches.
        spill_bytes: most bytes a thread spills.
        shared_bytes: most shared memory a block takes.
        blocks_per_sm: fewest blocks that an SM holds at once.
        waves: waves of blocks, summed over the launches, None where the grids are not known.
    """

    modelled_us: float | None
    registers: int
    spill_bytes: int
    shared_bytes: int
    blocks_per_sm: int
    waves: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """All problems of one sweep: one search, so that what one problem teaches serves the next.

    Attributes:
        parameters: the kernel's, in the order of the tables' columns.
        problems: in the order in which they will be searched.
        tables: each problem's legal configs; problems often share one table.
        ladder: the axis along which neighbouring problems resemble each other most (tokens).
        priors: for each problem, ln of a modelled time for every config, or None where there is no model.
        seeds: what is known from elsewhere: a starting point, never the answer.
        budget: most configs tried a problem.
        seed: of whatever is drawn.
    """

    parameters: tuple[Parameter, ...]
    problems: tuple[Problem, ...]
    tables: tuple[ConfigTable, ...]
    ladder: str
    priors: tuple[NDArray[np.float64] | None, ...]
    seeds: tuple[SeedGroup, ...] = ()
    budget: int = 400
    seed: int = 0


class Strategy(ABC):
    """Proposes configs, one problem at a time, by their row in the problem's table; problems by their index.

    Every config is proposed at most once, also where `tell` told of it before it was proposed.

    Args:
        task: what is searched.
    """

    def __init__(self, task: SearchTask) -> None:
        self.task = task

    @abstractmethod
    def ask(self, problem: int, count: int) -> Sequence[int]:
        """Up to `count` configs not proposed before; fewer where that serves the search, none when none is left."""

    @abstractmethod
    def tell(self, problem: int, config: int, time_us: float | None) -> None:
        """Reports what became of a config: its time in microseconds, or None where it failed."""

    def know(self, problem: int, config: int, known: Known) -> None:
        """Reports what is known of a config before it is timed; most strategies have no use for it."""
        return

    def foresee(self, problem: int, count: int) -> Sequence[int]:
        """Configs likely to be proposed next, most likely first, for compiling ahead; proposes nothing."""
        return ()
