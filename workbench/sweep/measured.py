"""Evaluates candidates on the GPU at hand: verified there, then timed in interleaved rounds beside the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any, TypeVar

from moe_kernels.tunable import Config, Problem
from workbench.executors import WorkerPool, WorkFailure, outcome
from workbench.sweep.evaluate import Builder, Subject, Workload, advance_all, failed_check
from workbench.sweep.measure import BatchResult, MeasureSettings, TimedConfig, measure_batch
from workbench.sweep.model import LaunchShape
from workbench.sweep.rows import Candidate, Evidence, Final, Stage, Status, Trial
from workbench.sweep.verify import verify

BATCH = 24
FINALISTS = 4
# How a GPU worker ends itself once its CUDA context is beyond use, so that the next task gets a new one.
CONTEXT_LOST = 86

Rows = Sequence[Mapping[str, Any]]
T = TypeVar("T")


class MeasuredEvaluator:
    """For the GPU at hand.

    Args:
        subject: what is swept.
        compilers: compiling workers.
        gpu: one worker that owns the GPU.
        default: the kernel's default config.
        settings: when to stop measuring.
        record_samples: takes the raw rounds.
        workload: told of every compile and every trial.
    """

    def __init__(
        self,
        subject: Subject,
        compilers: WorkerPool,
        gpu: WorkerPool,
        *,
        default: Config,
        settings: MeasureSettings,
        record_samples: Callable[[Rows], None],
        workload: Workload,
    ) -> None:
        self._subject, self._gpu, self._settings = subject, gpu, settings
        self._default, self._record_samples = default, record_samples
        self._workload = workload
        self._builder = Builder(subject, compilers, workload)

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts compiling."""
        self._workload.planned += len(candidates)
        for candidate in candidates:
            self._builder.start(candidate)

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Trial]:
        """The trial of each candidate: those that fail as they fail, the others after each measured batch."""
        for trial in self._evaluate(candidates, known):
            self._workload.finish()
            yield trial

    def _evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Trial]:
        passed: list[Trial] = []
        for trial in advance_all(candidates, self._advance):
            if trial.status is Status.OK:
                passed.append(trial)
            else:
                yield trial
        # The default first: where its process dies, it must be known before others are measured against it.
        passed.sort(key=lambda trial: trial.config != self._default)
        sound = [trial for trial in (*known, *passed) if trial.status is Status.OK]
        for batch in _batches(passed, BATCH):
            yield from self._measure_batch(batch, sound)

    def finals(self, trials: Sequence[Trial]) -> Final | None:
        """Times the finalists once more against the default, with twice the rounds."""
        if not trials:
            return None
        settings = replace(self._settings, max_rounds=2 * self._settings.max_rounds, slower_margin=None)
        timed = self._measure(trials, self._baseline(trials), settings)
        return None if isinstance(timed, WorkFailure) else timed

    def _advance(self, candidate: Candidate) -> Trial | Future[Any]:
        build = self._builder.start(candidate)
        if isinstance(build, Trial) or not build.done():
            return build
        launches = self._builder.finish(candidate, build)
        return launches if isinstance(launches, Trial) else self._verify(candidate, launches)

    def _verify(self, candidate: Candidate, launches: Sequence[LaunchShape]) -> Trial:
        subject = self._subject
        resources = tuple(launch.resources for launch in launches)
        arguments = (subject.reference, candidate.problem, candidate.config, subject.verify_seeds)
        verdict = _told(outcome(self._gpu.submit(verify_on_gpu, *arguments)))
        if failed := failed_check(subject, candidate, verdict):
            return replace(failed, resources=resources, verified_on=candidate.problem)
        return subject.trial(
            candidate, Stage.VERIFY, Status.OK, resources=resources, verified_on=candidate.problem
        )

    def _measure_batch(self, batch: Sequence[Trial], sound: list[Trial]) -> Iterator[Trial]:
        """A batch whose process dies is measured one by one, so that only the culprit is lost.

        Args:
            batch: what to measure.
            sound: the problem's valid trials; a culprit is taken out.
        """
        result = self._measure(batch, self._baseline(sound), self._settings)
        if not isinstance(result, WorkFailure):
            yield from result.trials
        elif len(batch) > 1:
            for single in batch:
                yield from self._measure_batch([single], sound)
        else:
            sound.remove(batch[0])
            status = Status.CRASHED if result.kind == "error" else Status(result.kind)
            yield replace(batch[0], stage=Stage.MEASURE, status=status, reason=f"measuring: {result.reason}")

    def _baseline(self, sound: Sequence[Trial]) -> Config:
        """The default; another config where the default cannot run on this GPU."""
        configs = [trial.config for trial in sound]
        return self._default if self._default in configs else configs[0]

    def _measure(
        self, trials: Sequence[Trial], baseline: Config, settings: MeasureSettings
    ) -> Final | WorkFailure:
        configs = {trial.trial: dict(trial.config) for trial in trials if trial.config != baseline}
        arguments = (self._subject.reference, trials[0].problem, configs, dict(baseline), settings)
        result: BatchResult | WorkFailure = _told(outcome(self._gpu.submit(measure_on_gpu, *arguments)))
        if isinstance(result, WorkFailure):
            return result
        self._record_samples([asdict(sample) for sample in result.samples])
        timed = (_timed(trial, baseline, result, has_ratio=baseline == self._default) for trial in trials)
        return Final(tuple(timed), result.noise.floor)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))


def _told(result: T | WorkFailure) -> T | WorkFailure:
    """Puts a lost CUDA context into words."""
    if isinstance(result, WorkFailure) and result.exit_code == CONTEXT_LOST:
        return replace(result, reason="it broke the CUDA context (an illegal memory access, most likely)")
    return result


def _timed(trial: Trial, baseline: Config, result: BatchResult, *, has_ratio: bool) -> Trial:
    """A trial with its times; the baseline's own are those of its control in the same rounds."""
    if trial.config == baseline:
        measurement, ratio, ratio_ci = result.default_again, 1.0, (1.0, 1.0)
    else:
        measurement = next(each for each in result.measurements if each.name == trial.trial)
        ratio, (low, high) = measurement.ratio.median, measurement.ratio.interval
        # The interval of a handful of rounds is too narrow to win by.
        ratio_ci = (low, high if measurement.rounds >= result.min_rounds else max(high, 1.0))
    return replace(
        trial,
        stage=Stage.MEASURE,
        evidence=Evidence.MEASURED,
        time_us=measurement.time_us.median,
        ci_us=measurement.time_us.interval,
        ratio=ratio if has_ratio else None,
        ratio_ci=ratio_ci if has_ratio else None,
    )


def verify_on_gpu(reference: str, problem: Problem, config: Config, seeds: int) -> str | None:
    """Verifies a config on the GPU; runs in the GPU's worker."""
    from workbench.sweep.kernels import load_kernel

    return _on_a_sound_gpu(lambda: verify(load_kernel(reference), problem, config, seeds=range(seeds)))


def measure_on_gpu(
    reference: str,
    problem: Problem,
    configs: Mapping[str, Config],
    default: Config,
    settings: MeasureSettings,
) -> BatchResult:
    """Measures configs of one problem against the default; runs in the GPU's worker."""
    return _on_a_sound_gpu(lambda: _measure_configs(reference, problem, configs, default, settings))


def _measure_configs(
    reference: str,
    problem: Problem,
    configs: Mapping[str, Config],
    default: Config,
    settings: MeasureSettings,
) -> BatchResult:
    from workbench.sweep.clocks import open_clocks
    from workbench.sweep.gpu_timer import GpuTimers
    from workbench.sweep.kernels import load_kernel

    kernel, timers = load_kernel(reference), GpuTimers()
    inputs = timers.inputs(kernel, problem)
    return measure_batch(
        [
            TimedConfig(name, timers.of_kernel(kernel, problem, config, inputs))
            for name, config in configs.items()
        ],
        default=timers.of_kernel(kernel, problem, default, inputs),
        default_again=timers.of_kernel(kernel, problem, default, inputs),
        settings=settings,
        clocks=open_clocks(),
    )


def _on_a_sound_gpu(task: Callable[[], T]) -> T:
    """Runs a task; where it leaves the CUDA context broken, ends this process, for the context never recovers."""
    import os

    import torch

    try:
        return task()
    except Exception:
        try:
            torch.cuda.synchronize()
        except Exception:
            os._exit(CONTEXT_LOST)
        raise
