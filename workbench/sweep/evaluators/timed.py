"""Times candidates in interleaved rounds beside the default, and the best of them once more in a fresh process.

Where the times come from, a GPU or a recording with noise drawn over it, is a `Timing`'s business, and how a candidate
comes to be ready for timing a `Front`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any, Protocol

from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import Config, Problem
from workbench.executors import WorkFailure
from workbench.measure.race import BatchResult, MeasureSettings
from workbench.search.strategy import Known
from workbench.sweep.evaluators.agreement import agreed, under_all
from workbench.sweep.evaluators.evaluator import advance_all
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.trials.trial import Candidate, Evidence, Final, Stage, Status, Trial

BATCH = 24
FINALISTS = 4
# Re-timings of the finalists, in a process that did not search: a win that one process shows may be that process's.
SESSIONS = 2

Rows = Sequence[Mapping[str, Any]]


class Front(Protocol):
    """Takes candidates to where they can be timed."""

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts whatever can run ahead."""
        ...

    def advance(self, candidate: Candidate) -> Trial | Future[Any]:
        """A candidate's trial, ok where it is ready to be timed; or a future to wait for before asking again."""
        ...

    def known(self, candidate: Candidate) -> Known | None:
        """What is known of a candidate before it is timed, None where nothing is yet."""
        ...


class Timing(Protocol):
    """Times configs of one problem against a baseline."""

    def time(
        self,
        problem: Problem,
        configs: Mapping[str, Config],
        baseline: Config,
        settings: MeasureSettings,
        distribution: RoutingDistribution,
    ) -> BatchResult | WorkFailure:
        """One batch, in whatever process timed the last one.

        Args:
            problem: every axis.
            configs: by name, the baseline not among them, in the order in which they are set up.
            baseline: what they are compared with.
            settings: when to stop; its seed names this window.
            distribution: how tokens spread over experts in the inputs.
        """
        ...

    def refresh(self) -> None:
        """Has the next batch timed in a fresh process."""
        ...


class TimedEvaluator:
    """Turns candidates into timed trials.

    Args:
        front: makes them ready.
        timing: times them.
        evidence: what the times are.
        default: the baseline's config.
        settings: when to stop measuring.
        distributions: what inputs are drawn from; a config is ahead only where it is behind under none of them.
        record_samples: takes the raw rounds.
        work: told of every trial.
    """

    def __init__(
        self,
        front: Front,
        timing: Timing,
        *,
        evidence: Evidence,
        default: Config,
        settings: MeasureSettings,
        distributions: Sequence[RoutingDistribution],
        record_samples: Callable[[Rows], None],
        work: WorkCount,
    ) -> None:
        self._front, self._timing, self._evidence = front, timing, evidence
        self._distributions = distributions
        self._default, self._settings = default, settings
        self._record_samples, self._work = record_samples, work
        self._is_fresh = False

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts whatever can run ahead."""
        self._front.prepare(candidates)

    def known(self, candidate: Candidate) -> Known | None:
        """What is known of a candidate before it is timed."""
        return self._front.known(candidate)

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """The trials: those that fail as they fail, the others a measured batch at a time."""
        self._work.planned += len(candidates)
        for trials in self._evaluate(candidates, known):
            for _ in trials:
                self._work.finish(Stage.MEASURE)
            yield trials

    def _evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        passed: list[Trial] = []
        for trial in advance_all(candidates, self._front.advance):
            if trial.status is Status.OK:
                passed.append(trial)
            else:
                yield [trial]
        # The default first: where its process dies, it must be known before others are measured against it.
        passed.sort(key=lambda trial: trial.config != self._default)
        sound = [trial for trial in (*known, *passed) if trial.status is Status.OK]
        for start in range(0, len(passed), BATCH):
            yield from self._time_batch(passed[start : start + BATCH], sound)

    def finals(self, trials: Sequence[Trial]) -> Final | None:
        """Times finalists again against the default, twice, with twice the rounds and in rotated order.

        The process is a fresh one, which all finalists share: whatever made a config look fast in the process that
        searched, its buffers' places for one, is gone. A ratio's interval is the hull of what both sessions found: a
        config is ahead only where they agree.

        Returns:
            None where there is nothing to time, or no session came to its end.
        """
        if not trials:
            return None
        rounds = 2 * self._settings.max_rounds
        settings = replace(self._settings, max_rounds=rounds, slower_margin=None, too_slow_ratio=None)
        if not self._is_fresh:
            self._timing.refresh()
            self._is_fresh = True
        sessions = []
        for session in range(SESSIONS):
            place = session * len(trials) // SESSIONS
            rotated = [*trials[place:], *trials[:place]]
            again = replace(settings, seed=settings.seed + 1 + session)
            timed = self._time(rotated, self._baseline(trials), again)
            if not isinstance(timed, WorkFailure):
                sessions.append(timed)
        return agreed(sessions) if len(sessions) == SESSIONS else None

    def _time_batch(self, batch: Sequence[Trial], sound: list[Trial]) -> Iterator[Sequence[Trial]]:
        """A batch whose process dies is measured one by one, so that only the culprit is lost.

        Args:
            batch: what to measure.
            sound: the problem's valid trials; a culprit is taken out.
        """
        result = self._time(batch, self._baseline(sound), self._settings)
        if not isinstance(result, WorkFailure):
            yield result.trials
        elif len(batch) > 1:
            for single in batch:
                yield from self._time_batch([single], sound)
        else:
            sound.remove(batch[0])
            status = Status.CRASHED if result.kind == "error" else Status(result.kind)
            reason = f"measuring: {result.reason}"
            yield [replace(batch[0], stage=Stage.MEASURE, status=status, reason=reason)]

    def _baseline(self, sound: Sequence[Trial]) -> Config:
        """The default; another config where the default cannot run on this GPU."""
        configs = [trial.config for trial in sound]
        return self._default if self._default in configs else configs[0]

    def _time(
        self, trials: Sequence[Trial], baseline: Config, settings: MeasureSettings
    ) -> Final | WorkFailure:
        found = []
        for distribution in self._distributions:
            timed = self._time_under(distribution, trials, baseline, settings)
            if isinstance(timed, WorkFailure):
                return timed
            found.append(timed)
        return found[0] if len(found) == 1 else under_all(found)

    def _time_under(
        self,
        distribution: RoutingDistribution,
        trials: Sequence[Trial],
        baseline: Config,
        settings: MeasureSettings,
    ) -> Final | WorkFailure:
        configs = {trial.trial: dict(trial.config) for trial in trials if trial.config != baseline}
        result = self._timing.time(trials[0].problem, configs, dict(baseline), settings, distribution)
        if isinstance(result, WorkFailure):
            return result
        self._record_samples([{**asdict(sample), "routing": distribution.label} for sample in result.samples])
        timed = (self._timed(trial, baseline, result) for trial in trials)
        return Final(tuple(timed), result.noise.floor)

    def _timed(self, trial: Trial, baseline: Config, result: BatchResult) -> Trial:
        """A trial with its times; the baseline's own are those of its control in the same rounds."""
        if trial.trial in result.too_slow:
            return _too_slow(trial, *result.too_slow[trial.trial])
        if trial.config == baseline:
            measurement, ratio, ratio_ci = result.default_again, 1.0, (1.0, 1.0)
        else:
            measurement = next(each for each in result.measurements if each.name == trial.trial)
            ratio, (low, high) = measurement.ratio.median, measurement.ratio.interval
            # The interval of a handful of rounds is too narrow to win by.
            ratio_ci = (low, high if measurement.rounds >= result.min_rounds else max(high, 1.0))
        has_ratio = baseline == self._default
        return replace(
            trial,
            stage=Stage.MEASURE,
            evidence=self._evidence,
            time_us=measurement.time_us.median,
            ci_us=measurement.time_us.interval,
            ratio=ratio if has_ratio else None,
            ratio_ci=ratio_ci if has_ratio else None,
        )


def _too_slow(trial: Trial, time_us: float, default_us: float) -> Trial:
    times = f"{time_us / default_us:.1f} times the default's {default_us:.1f} us"
    reason = f"one launch took {time_us:.1f} us, {times}: not raced"
    return replace(trial, stage=Stage.MEASURE, status=Status.PRUNED, reason=reason)
