"""Runs a plan: searches each problem, journals each trial, chooses each problem's winner and publishes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.executors.site import Site
from workbench.search import SeedGroup
from workbench.sweep.choice import WinnerChoice
from workbench.sweep.evaluators.evaluator import Evaluator
from workbench.sweep.evaluators.open import HERE, TIMEOUTS, Timeouts, open_evaluators
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.outcome import ProblemOutcome, Progress, SweepOutcome
from workbench.sweep.plan import SweepPlan
from workbench.sweep.problem_sweep import ProblemSweep, make_strategy
from workbench.sweep.publish import Publishers
from workbench.sweep.record import SweepRecord
from workbench.sweep.seeds import as_json, from_json, seed_groups
from workbench.sweep.share import SharedLock, share_out
from workbench.trials.journal import Journal
from workbench.trials.trial import Evidence, Trial


def check_results(plan: SweepPlan) -> tuple[SeedGroup, ...]:
    """Finds out before any work whether a plan's winners can be written, and what its search starts from.

    Raises:
        InputError: a results file or a seed is damaged, or the folder cannot be written.
    """
    Publishers(plan, "").check(plan.space.problems)
    return seed_groups(plan)


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
    seeds = check_results(plan)
    with Journal(plan.folder, sweep=sweep, environment=environment, fresh=fresh) as journal:
        if dead := journal.taken_over_from:
            progress.note(f"continues after a process that died ({dead})")
        first_seeds = from_json(journal.once("seeds.json", lambda: as_json(seeds)))
        return _Run(plan, journal, progress, first_seeds).run(timeouts, site)


@dataclass(frozen=True, slots=True)
class _Searched:
    """A problem's part of the sweep after the search, with all its trials."""

    sweep: ProblemSweep
    trials: tuple[Trial, ...]
    evaluator: Evaluator


class _Run:
    """A plan at work.

    With several GPUs, each has a thread; all but waiting for an evaluator is done by one at a time.
    """

    def __init__(
        self, plan: SweepPlan, journal: Journal, progress: Progress, seeds: tuple[SeedGroup, ...]
    ) -> None:
        self._plan, self._journal, self._progress = plan, journal, progress
        self._lock = SharedLock()
        self._record = SweepRecord(plan, journal, progress, self._lock)
        self._strategy = make_strategy(plan, seeds)
        self._choice = WinnerChoice(plan, self._record)
        self._publishers = Publishers(plan, journal.started)

    def run(self, timeouts: Timeouts, site: Site) -> SweepOutcome:
        plan, journal = self._plan, self._journal
        sweeps = [
            ProblemSweep(plan, index, self._strategy, self._record, self._lock)
            for index in range(len(plan.space.problems))
        ]
        ahead = [candidate for each in sweeps for candidate in each.first()]
        total = sum(each.expected for each in sweeps)
        self._progress.started(plan, min(total, len(journal.trials)), total)
        work = WorkCount(self._progress.work)
        with open_evaluators(plan, timeouts, work, journal, site=site, has_work=bool(ahead)) as evaluators:
            evaluators[0].prepare(ahead)
            try:
                if plan.is_timed:
                    # Finals come last, and share one fresh process.
                    found = share_out(sweeps, evaluators, self._search)
                    outcomes = self._decide_all(found, evaluators)
                else:
                    outcomes = share_out(sweeps, evaluators, self._search_and_decide)
            except BaseException:
                self._lock.end()
                raise
        return SweepOutcome(plan, tuple(outcomes))

    def _search(self, sweep: ProblemSweep, evaluator: Evaluator) -> _Searched:
        """Searches a problem. What is measured is published provisionally, should the sweep not come to its finals."""
        trials = sweep.run(evaluator)
        if self._plan.evidence is Evidence.MEASURED and (winner := self._choice.provisional(trials)):
            with self._lock:
                self._publishers.publish(winner)
        return _Searched(sweep, trials, evaluator)

    def _decide_all(
        self, found: Sequence[_Searched], evaluators: Sequence[Evaluator]
    ) -> list[ProblemOutcome]:
        """Each problem where it was searched: two GPUs of one kind differ, and a problem's times are of one."""

        def decide_own(evaluator: Evaluator, _: Evaluator) -> dict[int, ProblemOutcome]:
            own = {place: each for place, each in enumerate(found) if each.evaluator is evaluator}
            return {place: self._decide(each, evaluator) for place, each in own.items()}

        outcomes: dict[int, ProblemOutcome] = {}
        for part in share_out(evaluators, evaluators, decide_own):
            outcomes |= part
        return [outcomes[place] for place in range(len(found))]

    def _search_and_decide(self, sweep: ProblemSweep, evaluator: Evaluator) -> ProblemOutcome:
        return self._decide(self._search(sweep, evaluator), evaluator)

    def _decide(self, searched: _Searched, evaluator: Evaluator) -> ProblemOutcome:
        """Judges the best of a problem once more, and publishes the winner."""
        sweep, trials = searched.sweep, searched.trials
        winner = self._choice.winner(trials, evaluator)
        with self._lock:
            published = self._publishers.publish(winner) if winner else None
            outcome = ProblemOutcome(sweep.problem, trials, winner, published, sweep.legal)
            self._progress.problem(outcome)
        return outcome
