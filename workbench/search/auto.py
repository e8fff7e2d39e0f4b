"""Ours, the default: a Gaussian process over the legal configs, one search for all problems.

A proposal is the config with the highest expected improvement of all that are left, so it is never illegal and never
a repetition. What was searched before on other problems, what `seeds` tell of other GPUs, and what a model predicts
enter as straight lines whose slope is learned: where they mislead, the slope goes to zero and the first few
proposals are all that was lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from moe_kernels.tunable import Problem
from workbench.search.gaussian.coordinates import Coordinates
from workbench.search.gaussian.lesson import Lesson
from workbench.search.gaussian.problem_data import ProblemData
from workbench.search.gaussian.problem_search import ProblemSearch
from workbench.search.gaussian.threads import one_thread
from workbench.search.strategy import Known, SearchTask, SeedGroup, SeedRow, Strategy

MOST_LESSONS = 3
# An axis on which two problems differ, other than the ladder, counts like so many octaves of it.
OTHER_AXIS = 4.0


class Auto(Strategy):
    """Proposes where improvement is expected; see the module.

    Args:
        task: what is searched.
    """

    def __init__(self, task: SearchTask) -> None:
        super().__init__(task)
        self._coordinates: dict[int, Coordinates] = {}
        self._searches: dict[int, ProblemSearch] = {}

    def ask(self, problem: int, count: int) -> Sequence[int]:
        """The most promising configs, one at a time while each result may change the next proposal."""
        with one_thread():
            return self._begun(problem).ask(count)

    def tell(self, problem: int, config: int, time_us: float | None) -> None:
        """Takes a result into account, of a proposed config or of any other."""
        self._search(problem).tell(config, time_us)

    def know(self, problem: int, config: int, known: Known) -> None:
        """Takes what the compiler says of a config into account, also for configs like it."""
        self._search(problem).data.resources.add(config, known)

    def foresee(self, problem: int, count: int) -> Sequence[int]:
        """The planned configs, then the most promising now; none of a problem whose turn has not come.

        What it would begin with follows from what the problems before it teach.
        """
        is_next = all(other in self._searches for other in range(problem))
        with one_thread():
            return self._begun(problem).foresee(count) if is_next else ()

    def _begun(self, problem: int) -> ProblemSearch:
        search = self._search(problem)
        if not search.begun:
            search.begin(list(self._lessons(problem)))
        return search

    def _search(self, problem: int) -> ProblemSearch:
        if problem not in self._searches:
            table, prior = self.task.tables[problem], self.task.priors[problem]
            data = ProblemData(table, self._coordinates_of(problem), prior)
            rng = np.random.default_rng([self.task.seed, problem])
            self._searches[problem] = ProblemSearch(data, rng)
        return self._searches[problem]

    def _coordinates_of(self, problem: int) -> Coordinates:
        """Problems that share a table share its coordinates."""
        table = self.task.tables[problem]
        if id(table) not in self._coordinates:
            self._coordinates[id(table)] = Coordinates(self.task.parameters, table)
        return self._coordinates[id(table)]

    def _lessons(self, problem: int) -> Iterator[Lesson]:
        """From the problems searched so far and from the seeds, the nearest first."""
        groups = sorted(
            [*self._searched_before(problem), *self.task.seeds],
            key=lambda group: self._distance(group.problem, self.task.problems[problem]),
        )
        for group in groups[:MOST_LESSONS]:
            yield Lesson(group.rows, self.task.tables[problem], self._coordinates_of(problem))

    def _searched_before(self, problem: int) -> Iterator[SeedGroup]:
        for other, search in self._searches.items():
            table, times = self.task.tables[other], search.data.times
            if other != problem and any(time is not None for time in times.values()):
                rows = tuple(SeedRow(table[row], time) for row, time in times.items())
                yield SeedGroup("this sweep", self.task.problems[other], rows)

    def _distance(self, one: Problem, other: Problem) -> float:
        """In octaves of the ladder."""
        different = [axis for axis in {*one, *other} if one.get(axis) != other.get(axis)]
        return sum(self._axis_distance(axis, one.get(axis), other.get(axis)) for axis in different)

    def _axis_distance(self, axis: str, one: object, other: object) -> float:
        if (
            axis == self.task.ladder
            and isinstance(one, int)
            and isinstance(other, int)
            and min(one, other) > 0
        ):
            return abs(math.log2(one / other))
        return OTHER_AXIS
