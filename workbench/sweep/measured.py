"""Evaluates candidates on the GPU at hand: verified there, then timed in interleaved rounds beside the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from moe_kernels.tunable import Config, Problem
from workbench.executors import WorkerPool, WorkFailure, outcome
from workbench.sweep.evaluate import Builder, Subject, Workload, advance_all, failed_check
from workbench.sweep.measure import BatchResult, MeasureSettings, TimedConfig, measure_batch
from workbench.sweep.model import LaunchShape
from workbench.sweep.rows import Candidate, Evidence, Stage, Status, Trial
from workbench.sweep.verify import verify

BATCH = 24
FINALISTS = 4
# How a GPU worker ends itself once its CUDA context is beyond use, so that the next task gets a new one.
CONTEXT_LOST = 86

Rows = Sequence[Mapping[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Final:
    """The re-timing of a problem's finalists.

    Attributes:
        trials: the finalists with their new times, the default among them.
        noise_floor: share by which the default differed from itself.
    """

    trials: tuple[Trial, ...]
    noise_floor: float


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

    def evaluate(self, candidates: Sequence[Candidate]) -> Iterator[Trial]:
        """The trial of each candidate: those that fail as they fail, the others after each measured batch."""
        for trial in self._evaluate(candidates):
            self._workload.finish()
            yield trial

    def _evaluate(self, candidates: Sequence[Candidate]) -> Iterator[Trial]:
        passed: dict[str, tuple[Candidate, Trial]] = {}
        for trial in advance_all(candidates, self._advance):
            if trial.status is Status.OK:
                passed[trial.trial] = (Candidate(trial.problem, trial.config), trial)
            else:
                yield trial
        for batch in _batches(list(passed.values()), BATCH):
            yield from self._measure_batch(batch)

    def finals(self, trials: Sequence[Trial]) -> Final | None:
        """Times the finalists once more against the default, with twice the rounds."""
        if not trials:
            return None
        settings = replace(self._settings, max_rounds=2 * self._settings.max_rounds, slower_margin=None)
        result = self._measure(trials[0].problem, trials, settings)
        if isinstance(result, WorkFailure):
            return None
        return Final(_timed(trials, self._default, result), result.noise.floor)

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

    def _measure_batch(self, batch: Sequence[tuple[Candidate, Trial]]) -> Iterator[Trial]:
        """A batch whose process dies is measured one by one, so that only the culprit is lost."""
        trials = [trial for _, trial in batch]
        result = self._measure(trials[0].problem, trials, self._settings)
        if not isinstance(result, WorkFailure):
            yield from _timed(trials, self._default, result)
        elif len(batch) > 1:
            for single in batch:
                yield from self._measure_batch([single])
        else:
            status = Status.CRASHED if result.kind == "error" else Status(result.kind)
            yield replace(trials[0], stage=Stage.MEASURE, status=status, reason=f"measuring: {result.reason}")

    def _measure(
        self, problem: Problem, trials: Sequence[Trial], settings: MeasureSettings
    ) -> BatchResult | WorkFailure:
        configs = {trial.trial: dict(trial.config) for trial in trials if trial.config != self._default}
        arguments = (self._subject.reference, problem, configs, dict(self._default), settings)
        result: BatchResult | WorkFailure = _told(outcome(self._gpu.submit(measure_on_gpu, *arguments)))
        if not isinstance(result, WorkFailure):
            self._record_samples([asdict(sample) for sample in result.samples])
        return result


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))


def _told(result: T | WorkFailure) -> T | WorkFailure:
    """Puts a lost CUDA context into words."""
    if isinstance(result, WorkFailure) and result.exit_code == CONTEXT_LOST:
        return replace(result, reason="it broke the CUDA context (an illegal memory access, most likely)")
    return result


def _timed(trials: Sequence[Trial], default: Config, result: BatchResult) -> tuple[Trial, ...]:
    """The trials with their times; the default's own are those of its control in the same rounds."""
    measurements = {each.name: each for each in result.measurements}
    rows = []
    for trial in trials:
        is_default = trial.config == default
        measurement = result.default_again if is_default else measurements[trial.trial]
        time, ratio = measurement.time_us, measurement.ratio
        rows.append(
            replace(
                trial,
                stage=Stage.MEASURE,
                evidence=Evidence.MEASURED,
                time_us=measurement.default_time_us if is_default else time.median,
                ci_us=(time.low, time.high),
                ratio=1.0 if is_default else ratio.median,
                ratio_ci=(1.0, 1.0) if is_default else (ratio.low, ratio.high),
            )
        )
    return tuple(rows)


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
