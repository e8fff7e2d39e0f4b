"""Runs a plan: asks the search, evaluates, journals each trial, selects each problem's winner and publishes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Problem
from workbench.base.errors import WorkerError
from workbench.devices import Device
from workbench.executors.site import Site
from workbench.search import STRATEGIES, SearchTask, Strategy
from workbench.sweep.evaluators.evaluator import Evaluator
from workbench.sweep.evaluators.open import HERE, TIMEOUTS, Timeouts, open_evaluators
from workbench.sweep.evaluators.ranked import RankedEvaluator
from workbench.sweep.evaluators.timed import FINALISTS, TimedEvaluator
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.outcome import ProblemOutcome, Progress, SweepOutcome
from workbench.sweep.plan import SweepPlan
from workbench.sweep.priors import has_ranking, prior
from workbench.sweep.publish import Publishers
from workbench.sweep.seeds import as_json, from_json, seed_groups
from workbench.sweep.select import MODELLED_MARGIN, TIMED_MARGIN, Winner, select, shortlist
from workbench.sweep.share import share_out
from workbench.trials.journal import Journal
from workbench.trials.trial import Candidate, Evidence, Final, Trial, final_name, trial_id

CHUNK = 256
# Configs compiled ahead of their turn while others are timed.
AHEAD = 64
# Ranked configs that may be compiled for one winner, while others fail.
OFFERED_AMONG = 16


def check_results(plan: SweepPlan) -> None:
    """Finds out before any work whether a plan's winners can be written, and whether its seeds can be read.

    Raises:
        InputError: a results file or a seed is damaged, or the folder cannot be written.
    """
    Publishers(plan, "").check(plan.space.problems)
    seed_groups(plan)


def run_sweep(
    plan: SweepPlan,
    progress: Progress,
    *,
    fresh: bool = False,
    timeouts: Timeouts = TIMEOUTS,
    site: Site = HERE,
) -> SweepOutcome:
    """Runs a plan to its end, continuing what an earlier process of the same run left.

    Args:
        plan: the sweep.
        progress: told of every step.
        fresh: starts over; the earlier journal is put aside.
        timeouts: when to give up on a config.
        site: where the workers are; problems are shared out among its GPUs.

    Raises:
        InputError: the results or the journal cannot be read or written.
    """
    sweep = {
        **plan.identity,
        "kernel": plan.describe_kernel(),
        "default": dict(plan.kernel.default_config),
        "trials": plan.loaded.spec.search.trials,
        "file": str(plan.loaded.source.file),
    }
    environment = {"versions": dict(plan.versions), "jobs": plan.jobs}
    check_results(plan)
    with Journal(plan.folder, sweep=sweep, environment=environment, fresh=fresh) as journal:
        if dead := journal.taken_over_from:
            progress.note(f"continues after a process that died ({dead})")
        return _Run(plan, journal, progress, timeouts, site).run()


@dataclass(slots=True)
class _Turn:
    """One problem's part of the search.

    Attributes:
        index: of the problem.
        problem: every axis.
        legal: configs that the space holds for it.
        left: proposals that the budget still allows.
        default: the default's row in the problem's table, None where it is not in it.
        trials: what is known so far, by name.
    """

    index: int
    problem: Problem
    legal: int
    left: int
    default: int | None
    trials: dict[str, Trial] = field(default_factory=dict)

    @property
    def expected(self) -> int:
        """How many trials there will be, the default's included."""
        return 1 + min(self.left, self.legal - (self.default is not None)) if self.legal else 0


class _Run:
    def __init__(
        self, plan: SweepPlan, journal: Journal, progress: Progress, timeouts: Timeouts, site: Site
    ) -> None:
        self._plan, self._journal, self._progress = plan, journal, progress
        self._timeouts, self._site = timeouts, site
        # With several GPUs, each has a thread; all but waiting for an evaluator is done by one at a time.
        self._lock, self._over = RLock(), False
        self._publishers = Publishers(plan, journal.started)
        self._default = plan.kernel.default_config
        self._winners: list[Winner] = []
        self._strategy = self._make_strategy()

    def run(self) -> SweepOutcome:
        turns = [self._turn(index) for index in range(len(self._plan.space.problems))]
        ahead = [candidate for turn in turns if turn.legal for candidate in self._first(turn)]
        total = sum(turn.expected for turn in turns)
        self._progress.started(self._plan, min(total, len(self._journal.trials)), total)
        with self._evaluators(has_work=bool(ahead)) as evaluators:
            evaluators[0].prepare(ahead)
            outcomes = self._problems(turns, evaluators)
        return SweepOutcome(self._plan, tuple(outcomes))

    def _make_strategy(self) -> Strategy:
        plan, search = self._plan, self._plan.loaded.spec.search
        seeds = from_json(self._journal.once("seeds.json", lambda: as_json(seed_groups(plan))))
        task = SearchTask(
            parameters=plan.kernel.parameters,
            problems=plan.space.problems,
            tables=plan.space.configs,
            ladder=plan.kernel.ladder.name,
            priors=self._priors(),
            seeds=seeds,
            budget=search.trials,
            seed=search.seed,
        )
        # A ranking is all that there is to find out where nothing is timed.
        is_followed = plan.is_ranked and search.strategy == "auto"
        return STRATEGIES["ranked" if is_followed else search.strategy](task)

    def _priors(self) -> tuple[NDArray[np.float64] | None, ...]:
        plan, device = self._plan, self._plan.device
        pairs = zip(plan.space.problems, plan.space.configs, strict=True)
        if plan.family or not isinstance(device, Device) or not has_ranking(plan.kernel, device):
            return (None,) * len(plan.space.problems)
        return tuple(prior(problem, device, table) if len(table) else None for problem, table in pairs)

    def _turn(self, index: int) -> _Turn:
        table = self._plan.space.configs[index]
        problem, budget = self._plan.space.problems[index], self._plan.loaded.spec.search.trials
        default = table.find(self._default)
        return _Turn(index, problem, len(table), budget - (default is not None), default)

    def _first(self, turn: _Turn) -> list[Candidate]:
        """What a problem will begin with, as far as that can be told: its compiling need not wait for its turn."""
        likely = self._candidates(turn, self._strategy.foresee(turn.index, min(turn.left, CHUNK)))
        return [
            each for each in (Candidate(turn.problem, self._default), *likely) if not self._is_known(each)
        ]

    def _problems(self, turns: Sequence[_Turn], evaluators: Sequence[Evaluator]) -> list[ProblemOutcome]:
        try:
            return share_out(turns, evaluators, self._problem)
        except BaseException:
            with self._lock:
                self._over = True
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else reads or writes meanwhile; and nobody at all once the run is over, for one GPU's failure say."""
        with self._lock:
            if self._over:
                raise WorkerError("the sweep has been ended")
            yield

    def _problem(self, turn: _Turn, evaluator: Evaluator) -> ProblemOutcome:
        if turn.legal:
            self._default_trial(turn, evaluator)
            while rows := self._ask(turn, evaluator):
                self._evaluate(turn, rows, evaluator)
        found = tuple(turn.trials.values())
        winner = self._winner(found, evaluator)
        with self._alone():
            published = self._publishers.publish(winner) if winner else None
            self._winners += [winner] if winner else []
            outcome = ProblemOutcome(turn.problem, found, winner, published, turn.legal)
            self._progress.problem(outcome)
        return outcome

    def _default_trial(self, turn: _Turn, evaluator: Evaluator) -> None:
        """The baseline goes first; where the space does not hold it, beside the budget."""
        for trial in self._trials(turn, [Candidate(turn.problem, self._default)], evaluator):
            if turn.default is not None:
                self._tell(turn, turn.default, trial)

    def _ask(self, turn: _Turn, evaluator: Evaluator) -> Sequence[int]:
        """The next proposals, with all told that compiling ahead has found out meanwhile."""
        with self._alone():
            return self._proposals(turn, evaluator)

    def _proposals(self, turn: _Turn, evaluator: Evaluator) -> Sequence[int]:
        likely = self._strategy.foresee(turn.index, min(turn.left, AHEAD)) if turn.left else ()
        new = {
            row: each
            for row, each in zip(likely, self._candidates(turn, likely), strict=True)
            if not self._is_known(each)
        }
        evaluator.prepare(list(new.values()))
        for row, candidate in new.items():
            if known := evaluator.known(candidate):
                self._strategy.know(turn.index, row, known)
        rows = self._strategy.ask(turn.index, min(CHUNK, turn.left)) if turn.left else ()
        turn.left -= len(rows)
        return rows

    def _evaluate(self, turn: _Turn, rows: Sequence[int], evaluator: Evaluator) -> None:
        candidates = self._candidates(turn, rows)
        row_of = {self._name(candidate): row for row, candidate in zip(rows, candidates, strict=True)}
        for trial in self._trials(turn, candidates, evaluator):
            self._tell(turn, row_of[trial.trial], trial)

    def _tell(self, turn: _Turn, row: int, trial: Trial) -> None:
        with self._alone():
            self._strategy.tell(turn.index, row, trial.time_us)

    def _trials(self, turn: _Turn, candidates: Sequence[Candidate], evaluator: Evaluator) -> Iterator[Trial]:
        """The trials of candidates: those that the journal holds, then the others as they become known."""
        for candidate in candidates:
            if trial := self._journal.trials.get(self._name(candidate)):
                turn.trials[trial.trial] = trial
                yield trial
        unknown = [each for each in candidates if not self._is_known(each)]
        for trials in evaluator.evaluate(unknown, tuple(turn.trials.values())) if unknown else ():
            self._record(turn, trials)
            yield from trials

    def _record(self, turn: _Turn, trials: Sequence[Trial]) -> None:
        with self._alone():
            self._journal.record(trials)
            for trial in trials:
                turn.trials[trial.trial] = trial
                self._progress.trial(trial)

    def _candidates(self, turn: _Turn, rows: Sequence[int]) -> list[Candidate]:
        table = self._plan.space.configs[turn.index]
        return [Candidate(turn.problem, table[row]) for row in rows]

    def _winner(self, trials: Sequence[Trial], evaluator: Evaluator) -> Winner | None:
        """The winner, and the best that an engine's table can hold where the winner is something else."""
        kernel = self._plan.kernel
        winner = self._best(trials, evaluator)
        if winner is None or kernel.is_exchanged(winner.config):
            return winner
        exchanged = self._best([each for each in trials if kernel.is_exchanged(each.config)], evaluator)
        return replace(winner, exchanged=exchanged)

    def _best(self, trials: Sequence[Trial], evaluator: Evaluator) -> Winner | None:
        if isinstance(evaluator, RankedEvaluator):
            offered = self._final(shortlist(trials, self._default, OFFERED_AMONG), evaluator)
            return select(offered.trials, self._default, margin=MODELLED_MARGIN) if offered else None
        if not isinstance(evaluator, TimedEvaluator):
            margin = MODELLED_MARGIN if self._plan.evidence is Evidence.MODELLED else 0.0
            return select(trials, self._default, margin=margin)
        final = self._final(shortlist(trials, self._default, FINALISTS), evaluator)
        if final is None:
            return select(trials, self._default, margin=1.0)
        neighbour = self._neighbour(trials[0].problem)
        return select(
            final.trials, self._default, margin=max(TIMED_MARGIN, final.noise_floor), neighbour=neighbour
        )

    def _neighbour(self, problem: Problem) -> Config | None:
        """What won the problem that differs from this one in the ladder only, and least."""
        ladder = self._plan.kernel.ladder.name

        def rest(each: Problem) -> dict[str, int | str]:
            return {name: value for name, value in each.items() if name != ladder}

        near = [each for each in [*self._winners] if rest(each.problem) == rest(problem)]
        nearest = min(
            near, key=lambda each: abs(int(each.problem[ladder]) - int(problem[ladder])), default=None
        )
        return nearest.config if nearest else None

    def _final(self, finalists: Sequence[Trial], evaluator: TimedEvaluator | RankedEvaluator) -> Final | None:
        """The finalists judged once more, unless the journal holds that already."""
        if known := self._journal.finals.get(final_name(finalists)):
            return known
        if final := evaluator.finals(finalists):
            with self._alone():
                self._journal.record_final(final)
        return final

    def _is_known(self, candidate: Candidate) -> bool:
        return self._name(candidate) in self._journal.trials

    def _name(self, candidate: Candidate) -> str:
        return trial_id(self._plan.source_hash, candidate, self._plan.device.slug, self._plan.routing)

    @contextmanager
    def _evaluators(self, *, has_work: bool) -> Iterator[Sequence[Evaluator]]:
        work = WorkCount(self._progress.work)
        with open_evaluators(
            self._plan, self._timeouts, work, self._journal, site=self._site, has_work=has_work
        ) as evaluators:
            yield evaluators
