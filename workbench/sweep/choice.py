"""Chooses the winner of each problem, after its best trials were judged once more where the evaluator can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from moe_kernels.tunable import Config, Problem
from workbench.sweep.evaluators.evaluator import Evaluator
from workbench.sweep.evaluators.ranked import RankedEvaluator
from workbench.sweep.evaluators.timed import FINALISTS, TimedEvaluator
from workbench.sweep.plan import SweepPlan
from workbench.sweep.record import SweepRecord
from workbench.sweep.select import MODELLED_MARGIN, TIMED_MARGIN, Winner, select, shortlist
from workbench.trials.trial import Evidence, Final, Trial

# Ranked configs that may be compiled for one winner, while others fail.
OFFERED_AMONG = 16


class WinnerChoice:
    """Chooses the winner of one problem after the other, so that neighbours agree where configs tie.

    Args:
        plan: the sweep.
        record: knows what was judged before, and takes what is judged now.
    """

    def __init__(self, plan: SweepPlan, record: SweepRecord) -> None:
        self._kernel, self._evidence, self._record = plan.kernel, plan.evidence, record
        self._default = plan.kernel.default_config
        self._winners: list[Winner] = []

    def winner(self, trials: Sequence[Trial], evaluator: Evaluator) -> Winner | None:
        """The winner, and the best that an engine's table can hold where the winner is something else.

        Args:
            trials: all of one problem.
            evaluator: judges the best of them once more.

        Returns:
            None where no config is valid.
        """
        winner = self._best(trials, evaluator)
        if winner is None:
            return None
        if not self._kernel.is_exchanged(winner.config):
            exchanged = [trial for trial in trials if self._kernel.is_exchanged(trial.config)]
            winner = replace(winner, exchanged=self._best(exchanged, evaluator))
        self._winners.append(winner)
        return winner

    def provisional(self, trials: Sequence[Trial]) -> Winner | None:
        """What won while its problem was searched; the finals may decide otherwise."""
        winner = select(trials, self._default, margin=TIMED_MARGIN)
        return replace(winner, evidence=Evidence.PROVISIONAL) if winner else None

    def _best(self, trials: Sequence[Trial], evaluator: Evaluator) -> Winner | None:
        if isinstance(evaluator, RankedEvaluator):
            offered = self._final(shortlist(trials, self._default, OFFERED_AMONG), evaluator)
            return select(offered.trials, self._default, margin=MODELLED_MARGIN) if offered else None
        if not isinstance(evaluator, TimedEvaluator):
            margin = MODELLED_MARGIN if self._evidence is Evidence.MODELLED else 0.0
            return select(trials, self._default, margin=margin)
        final = self._final(shortlist(trials, self._default, FINALISTS), evaluator)
        if final is None:
            return select(trials, self._default, margin=1.0)
        neighbour = self._neighbour(trials[0].problem)
        margin = max(TIMED_MARGIN, final.noise_floor)
        return select(final.trials, self._default, margin=margin, neighbour=neighbour)

    def _final(self, finalists: Sequence[Trial], evaluator: TimedEvaluator | RankedEvaluator) -> Final | None:
        """The finalists judged once more, unless the record holds that already."""
        if known := self._record.known_final(finalists):
            return known
        if final := evaluator.finals(finalists):
            self._record.add_final(final)
        return final

    def _neighbour(self, problem: Problem) -> Config | None:
        """What won the problem that differs from this one in the ladder only, and least."""
        ladder = self._kernel.ladder.name

        def rest(each: Problem) -> dict[str, int | str]:
            return {name: value for name, value in each.items() if name != ladder}

        def distance(each: Winner) -> int:
            return abs(int(each.problem[ladder]) - int(problem[ladder]))

        near = [each for each in [*self._winners] if rest(each.problem) == rest(problem)]
        nearest = min(near, key=distance, default=None)
        return nearest.config if nearest else None
