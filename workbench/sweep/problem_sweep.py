"""One problem's part of a sweep, and the strategy that all problems share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.devices import Device
from workbench.search import STRATEGIES, SearchTask, SeedGroup, Strategy
from workbench.sweep.evaluators.evaluator import Evaluator
from workbench.sweep.plan import SweepPlan
from workbench.sweep.priors import has_ranking, prior
from workbench.sweep.record import SweepRecord
from workbench.sweep.share import SharedLock
from workbench.trials.trial import Candidate, Trial

CHUNK = 256
# Configs compiled ahead of their turn while others are timed.
AHEAD = 64


def make_strategy(plan: SweepPlan, seeds: tuple[SeedGroup, ...]) -> Strategy:
    """The strategy that a plan asks for, told of all problems and of what is known from elsewhere."""
    search = plan.loaded.spec.search
    task = SearchTask(
        parameters=plan.kernel.parameters,
        problems=plan.space.problems,
        tables=plan.space.configs,
        ladder=plan.kernel.ladder.name,
        priors=_priors(plan),
        seeds=seeds,
        budget=search.trials,
        seed=search.seed,
    )
    # A ranking is all that there is to find out where nothing is timed.
    is_followed = plan.is_ranked and search.strategy == "auto"
    return STRATEGIES["ranked" if is_followed else search.strategy](task)


def _priors(plan: SweepPlan) -> tuple[NDArray[np.float64] | None, ...]:
    device = plan.device
    if plan.family or not isinstance(device, Device) or not has_ranking(plan.kernel, device):
        return (None,) * len(plan.space.problems)
    pairs = zip(plan.space.problems, plan.space.configs, strict=True)
    return tuple(prior(problem, device, table) if len(table) else None for problem, table in pairs)


class ProblemSweep:
    """Sweeps one problem: evaluates what the strategy proposes, and tells it what came of it.

    Args:
        plan: the sweep.
        index: of the problem.
        strategy: of all problems.
        record: knows trials of earlier processes, and takes new ones.
        lock: held while the strategy is at work.

    Attributes:
        legal: configs that the space holds for it.
    """

    def __init__(
        self, plan: SweepPlan, index: int, strategy: Strategy, record: SweepRecord, lock: SharedLock
    ) -> None:
        self._index, self._strategy, self._record, self._lock = index, strategy, record, lock
        self._table, self.problem = plan.space.configs[index], plan.space.problems[index]
        self.legal = len(self._table)
        self._default = Candidate(self.problem, plan.kernel.default_config)
        # None where the space does not hold it; then the baseline goes beside the budget.
        self._default_row = self._table.find(self._default.config)
        self._left = plan.loaded.spec.search.trials - (self._default_row is not None)
        self._trials: dict[str, Trial] = {}

    @property
    def expected(self) -> int:
        """How many trials there will be, the default's included."""
        return 1 + min(self._left, self.legal - (self._default_row is not None)) if self.legal else 0

    def first(self) -> list[Candidate]:
        """What it will begin with, as far as that can be told: its compiling need not wait for its turn."""
        if not self.legal:
            return []
        likely = self._candidates(self._strategy.foresee(self._index, min(self._left, CHUNK)))
        return [each for each in (self._default, *likely) if not self._record.known(each)]

    def run(self, evaluator: Evaluator) -> tuple[Trial, ...]:
        """Evaluates the default, then whatever the strategy asks for within the budget.

        Returns:
            All trials of the problem, as they became known.
        """
        if self.legal:
            self._evaluate([self._default], [self._default_row], evaluator)
            while rows := self._ask(evaluator):
                self._evaluate(self._candidates(rows), rows, evaluator)
        return tuple(self._trials.values())

    def _ask(self, evaluator: Evaluator) -> Sequence[int]:
        """The next proposals, with all told that compiling ahead has found out meanwhile."""
        with self._lock:
            if not self._left:
                return ()
            self._look_ahead(evaluator)
            rows = self._strategy.ask(self._index, min(CHUNK, self._left))
            self._left -= len(rows)
        return rows

    def _look_ahead(self, evaluator: Evaluator) -> None:
        rows = self._strategy.foresee(self._index, min(self._left, AHEAD))
        likely = zip(rows, self._candidates(rows), strict=True)
        new = {row: candidate for row, candidate in likely if not self._record.known(candidate)}
        evaluator.prepare(list(new.values()))
        for row, candidate in new.items():
            if known := evaluator.known(candidate):
                self._strategy.know(self._index, row, known)

    def _evaluate(
        self, candidates: Sequence[Candidate], rows: Sequence[int | None], evaluator: Evaluator
    ) -> None:
        row_of = dict(zip(map(self._record.name, candidates), rows, strict=True))
        for trial in self._trials_of(candidates, evaluator):
            if (row := row_of[trial.trial]) is not None:
                with self._lock:
                    self._strategy.tell(self._index, row, trial.time_us)

    def _trials_of(self, candidates: Sequence[Candidate], evaluator: Evaluator) -> Iterator[Trial]:
        """The trials of candidates: those that are known, then the others as they become known."""
        unknown = []
        for candidate in candidates:
            if trial := self._record.known(candidate):
                self._trials[trial.trial] = trial
                yield trial
            else:
                unknown.append(candidate)
        for trials in evaluator.evaluate(unknown, tuple(self._trials.values())) if unknown else ():
            self._record.add(trials)
            self._trials |= {trial.trial: trial for trial in trials}
            yield from trials

    def _candidates(self, rows: Sequence[int]) -> list[Candidate]:
        return [Candidate(self.problem, self._table[row]) for row in rows]
