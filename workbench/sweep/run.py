"""Runs a plan: asks the search, evaluates, journals each trial, selects each problem's winner and publishes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from moe_kernels.tunable import Config, Problem
from moe_kernels.tuned import Run
from workbench.executors import WorkerPool
from workbench.search import STRATEGIES, Strategy
from workbench.sweep.compile import warm_up
from workbench.sweep.evaluate import Evaluator, ModelledEvaluator, Subject, Workload
from workbench.sweep.journal import Journal
from workbench.sweep.measure import MeasureSettings
from workbench.sweep.measured import FINALISTS, MeasuredEvaluator
from workbench.sweep.model import MODEL
from workbench.sweep.plan import SweepPlan
from workbench.sweep.publish import Published, Publisher
from workbench.sweep.rows import Candidate, Evidence, Final, Status, Trial, final_name, trial_id
from workbench.sweep.select import MODELLED_MARGIN, Winner, select, shortlist

MEASURED_MARGIN = 0.01
CHUNK = 256


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after which a worker is killed and its trial is a `timeout`.

    Attributes:
        compile_s: for compiling a config.
        verify_s: for verifying one in Triton's interpreter.
        gpu_s: for verifying one on the GPU, or preparing a batch there; the rounds' own limit is added.
    """

    compile_s: float = 120.0
    verify_s: float = 300.0
    gpu_s: float = 600.0


TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class ProblemOutcome:
    """What a sweep found for one problem.

    Attributes:
        problem: every axis.
        trials: all its trials, those of earlier processes of the run included.
        winner: None where no config is valid.
        published: where the winner went.
        legal: configs that the space holds for it.
    """

    problem: Problem
    trials: tuple[Trial, ...]
    winner: Winner | None
    published: Published | None
    legal: int


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """What a sweep found.

    Attributes:
        plan: what was run.
        problems: in the order of the sweep file.
    """

    plan: SweepPlan
    problems: tuple[ProblemOutcome, ...]

    @property
    def empty(self) -> tuple[Problem, ...]:
        """The problems without a valid config."""
        return tuple(each.problem for each in self.problems if each.winner is None)


class Progress(Protocol):
    """Watches a run."""

    def started(self, plan: SweepPlan, done: int, total: int) -> None:
        """A run begins, with so many of its trials known from earlier."""
        ...

    def trial(self, trial: Trial) -> None:
        """A trial is known."""
        ...

    def work(self, workload: Workload) -> None:
        """Some work is done; called from any thread."""
        ...

    def problem(self, outcome: ProblemOutcome) -> None:
        """A problem is finished and its winner published."""
        ...


@dataclass(slots=True)
class _Search:
    """One problem's search, and its first proposals, which can be compiled ahead of their turn."""

    problem: Problem
    strategy: Strategy
    legal: int
    budget: int
    proposed: list[Config] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """How many proposals there will be, the default left out."""
        return min(self.budget, self.legal)

    def ask(self, default: Config) -> list[Config]:
        """The next proposals within the budget; the default comes first, beside the budget."""
        batch = list(self.strategy.ask(min(CHUNK, self.budget - len(self.proposed))))
        first = not self.proposed
        self.proposed += batch
        return [default, *batch] if first and default not in batch else batch


def check_results(plan: SweepPlan) -> None:
    """Finds out before any work whether a plan's winners can be written.

    Raises:
        InputError: a results file is damaged, or the folder cannot be written.
    """
    _publisher(plan, "").check(plan.space.problems)


def run_sweep(
    plan: SweepPlan, progress: Progress, *, fresh: bool = False, timeouts: Timeouts = TIMEOUTS
) -> SweepOutcome:
    """Runs a plan to its end, continuing what an earlier process of the same run left.

    Args:
        plan: the sweep.
        progress: told of every step.
        fresh: starts over; the earlier journal is put aside.
        timeouts: when to give up on a config.

    Raises:
        InputError: the results or the journal cannot be read or written.
    """
    sweep = {**plan.identity, "trials": plan.loaded.spec.search.trials, "file": str(plan.loaded.source.file)}
    environment = {"versions": dict(plan.versions), "jobs": plan.jobs}
    check_results(plan)
    with Journal(plan.folder, sweep=sweep, environment=environment, fresh=fresh) as journal:
        return _Run(plan, journal, progress, timeouts).run()


class _Run:
    def __init__(self, plan: SweepPlan, journal: Journal, progress: Progress, timeouts: Timeouts) -> None:
        self._plan, self._journal, self._progress = plan, journal, progress
        self._timeouts = timeouts
        self._publisher = _publisher(plan, journal.started)
        self._default = plan.kernel.default_config

    def run(self) -> SweepOutcome:
        searches = [
            self._search(*each)
            for each in zip(self._plan.space.problems, self._plan.space.configs, strict=True)
        ]
        first = [search.ask(self._default) if search.legal else [] for search in searches]
        ahead = [
            Candidate(search.problem, config)
            for search, configs in zip(searches, first, strict=True)
            for config in configs
        ]
        new = [candidate for candidate in ahead if self._name(candidate) not in self._journal.trials]
        total = sum(max(len(asked), search.expected) for search, asked in zip(searches, first, strict=True))
        self._progress.started(self._plan, min(total, len(self._journal.trials)), total)
        with self._evaluator(bool(new)) as evaluator:
            evaluator.prepare(new)
            outcomes = [self._problem(*each, evaluator) for each in zip(searches, first, strict=True)]
        return SweepOutcome(self._plan, tuple(outcomes))

    def _search(self, problem: Problem, configs: Sequence[Config]) -> _Search:
        search = self._plan.loaded.spec.search
        return _Search(
            problem, STRATEGIES[search.strategy](configs, search.seed), len(configs), search.trials
        )

    def _problem(self, search: _Search, batch: Sequence[Config], evaluator: Evaluator) -> ProblemOutcome:
        trials: dict[str, Trial] = {}
        while batch:
            for trial in self._evaluate(search.problem, batch, trials, evaluator):
                trials[trial.trial] = trial
                search.strategy.tell(trial)
            batch = search.ask(self._default)
            evaluator.prepare(self._unknown(search.problem, batch))
        found = tuple(trials.values())
        winner = self._winner(found, evaluator)
        published = self._publisher.publish([winner])[0] if winner else None
        outcome = ProblemOutcome(search.problem, found, winner, published, search.legal)
        self._progress.problem(outcome)
        return outcome

    def _evaluate(
        self, problem: Problem, batch: Sequence[Config], found: Mapping[str, Trial], evaluator: Evaluator
    ) -> Iterator[Trial]:
        """The trials of a batch: those that the journal holds, then the others; `found` grows meanwhile."""
        known, unknown = self._journal.trials, self._unknown(problem, batch)
        names = [self._name(Candidate(problem, config)) for config in batch]
        yield from [known[name] for name in names if name in known]
        for trial in evaluator.evaluate(unknown, tuple(found.values())):
            self._journal.record(trial)
            self._progress.trial(trial)
            yield trial

    def _unknown(self, problem: Problem, configs: Sequence[Config]) -> list[Candidate]:
        candidates = (Candidate(problem, config) for config in configs)
        return [each for each in candidates if self._name(each) not in self._journal.trials]

    def _winner(self, trials: Sequence[Trial], evaluator: Evaluator) -> Winner | None:
        if not isinstance(evaluator, MeasuredEvaluator):
            return select(trials, self._default, margin=MODELLED_MARGIN)
        finalists = [*shortlist(trials, FINALISTS)]
        finalists += [each for each in trials if each.config == self._default and each not in finalists]
        final = self._final([each for each in finalists if each.status is Status.OK], evaluator)
        if final is None:
            return select(trials, self._default, margin=1.0)
        return select(final.trials, self._default, margin=max(MEASURED_MARGIN, final.noise_floor))

    def _final(self, finalists: Sequence[Trial], evaluator: MeasuredEvaluator) -> Final | None:
        """The finalists timed once more, unless the journal holds that already."""
        if known := self._journal.finals.get(final_name(finalists)):
            return known
        if final := evaluator.finals(finalists):
            self._journal.record_final(final)
        return final

    def _name(self, candidate: Candidate) -> str:
        return trial_id(self._plan.source_hash, candidate, self._plan.device.slug)

    @contextmanager
    def _evaluator(self, has_work: bool) -> Iterator[Evaluator]:
        """The evaluator for what the machine has, with its worker pools; a finished run starts no compilers."""
        plan = self._plan
        subject = Subject(
            reference=plan.loaded.spec.kernel,
            kernel=plan.kernel,
            device=plan.device,
            source_hash=plan.source_hash,
            verify_seeds=plan.loaded.spec.verify.seeds,
        )
        with ExitStack() as stack:
            compilers = stack.enter_context(WorkerPool(plan.jobs, timeout_s=self._timeouts.compile_s))
            if has_work:
                for _ in range(plan.jobs):
                    compilers.submit(warm_up, subject.reference, plan.device.compute_capability)
            if plan.evidence is Evidence.MEASURED:
                seconds = self._timeouts.gpu_s + plan.loaded.spec.measure.max_seconds
                gpu = stack.enter_context(WorkerPool(1, timeout_s=seconds))
                yield self._measured(subject, compilers, gpu)
                return
            interpreters = stack.enter_context(
                WorkerPool(
                    plan.jobs, timeout_s=self._timeouts.verify_s, environment={"TRITON_INTERPRET": "1"}
                )
            )
            yield ModelledEvaluator(subject, compilers, interpreters, Workload(self._progress.work))

    def _measured(self, subject: Subject, compilers: WorkerPool, gpu: WorkerPool) -> MeasuredEvaluator:
        measure = self._plan.loaded.spec.measure
        settings = MeasureSettings(
            relative_ci=measure.relative_ci,
            max_rounds=measure.max_rounds,
            max_seconds=measure.max_seconds,
            min_rounds=min(MeasureSettings().min_rounds, measure.max_rounds),
        )
        return MeasuredEvaluator(
            subject,
            compilers,
            gpu,
            default=self._default,
            settings=settings,
            record_samples=self._journal.record_samples,
            workload=Workload(self._progress.work),
        )


def _publisher(plan: SweepPlan, started: str) -> Publisher:
    spec = plan.loaded.spec
    run = Run(
        source_hash=plan.source_hash, versions=dict(plan.versions), date=started, extra={"sweep": spec.name}
    )
    measure: dict[str, object] = {"routing": spec.measure.routing}
    if plan.evidence is Evidence.MODELLED:
        measure = {"model": MODEL, "timed": False}
    return Publisher(plan.out, plan.kernel, plan.device, plan.run_id, run, measure)
