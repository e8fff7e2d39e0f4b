"""The GPU at hand: candidates are compiled, screened, verified on it and timed there, in a process that may die."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import Config, Problem
from workbench.base.ranges import marked
from workbench.base.text import pairs
from workbench.executors import Executor, WorkFailure
from workbench.measure.race import BatchResult, MeasureSettings, TimedConfig, measure_batch
from workbench.measure.rounds import Timer
from workbench.search.strategy import Known
from workbench.sweep.evaluators.builder import Builder
from workbench.sweep.evaluators.kept import Kept
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.stages.time_model import LaunchShape
from workbench.trials.trial import Candidate, Stage, Status, Trial

# How a GPU worker ends itself once its CUDA context is beyond use, so that the next task gets a new one.
CONTEXT_LOST = 86

T = TypeVar("T")

# Of the worker that owns the GPU: what it drew for the problem that it is at.
_CASES, _TIMED = Kept[Any](), Kept[Any]()


class GpuFront:
    """Compiles, screens and verifies.

    Args:
        subject: what is swept.
        builder: compiles and screens; fronts of several GPUs share it.
        gpu: one worker that owns the GPU.
    """

    def __init__(self, subject: Subject, builder: Builder, gpu: Executor) -> None:
        self._subject, self._builder, self._gpu = subject, builder, gpu

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts compiling."""
        for candidate in candidates:
            self._builder.start(candidate)

    def known(self, candidate: Candidate) -> Known | None:
        """What the compiled code says, once it is compiled."""
        return self._builder.known(candidate)

    def advance(self, candidate: Candidate) -> Trial | Future[Any]:
        """Waits for the code, then verifies it."""
        build = self._builder.start(candidate)
        if isinstance(build, Trial) or not build.done():
            return build
        launches = self._builder.finish(candidate, build)
        return launches if isinstance(launches, Trial) else self._verify(candidate, launches)

    def _verify(self, candidate: Candidate, launches: Sequence[LaunchShape]) -> Trial:
        subject = self._subject
        resources = tuple(launch.resources for launch in launches)
        arguments = (
            subject.reference,
            candidate.problem,
            candidate.config,
            subject.verify_seeds,
            subject.distributions,
        )
        verdict = _told(self._gpu.submit(verify_on_gpu, *arguments).result())
        if failed := subject.failed_check(candidate, verdict):
            return replace(failed, resources=resources, verified_on=candidate.problem)
        return subject.trial(
            candidate, Stage.VERIFY, Status.OK, resources=resources, verified_on=candidate.problem
        )


class GpuTiming:
    """Times in the worker that owns the GPU.

    Args:
        reference: names the kernel, for the worker.
        gpu: the worker.
    """

    def __init__(self, reference: str, gpu: Executor) -> None:
        self._reference, self._gpu = reference, gpu

    def time(
        self,
        problem: Problem,
        configs: Mapping[str, Config],
        baseline: Config,
        settings: MeasureSettings,
        distribution: RoutingDistribution,
    ) -> BatchResult | WorkFailure:
        """One batch, in the worker as it is."""
        arguments = (self._reference, problem, configs, baseline, settings, distribution)
        task = self._gpu.submit(measure_on_gpu, *arguments)
        result: BatchResult | WorkFailure = _told(task.result())
        return result

    def refresh(self) -> None:
        """Has the next batch timed in a fresh process."""
        self._gpu.renew()


def _told(result: T | WorkFailure) -> T | WorkFailure:
    """Puts a lost CUDA context into words."""
    if isinstance(result, WorkFailure) and result.exit_code == CONTEXT_LOST:
        return replace(result, reason="it broke the CUDA context (an illegal memory access, most likely)")
    return result


def verify_on_gpu(
    reference: str,
    problem: Problem,
    config: Config,
    seeds: int,
    distributions: Sequence[RoutingDistribution],
) -> str | None:
    """Verifies a config on the GPU, under each distribution; runs in the GPU's worker."""
    from workbench.sweep.kernels import load_kernel
    from workbench.sweep.stages.verify import draw_case, verify_on

    def verdict(distribution: RoutingDistribution) -> str | None:
        kernel = load_kernel(reference).under(distribution)
        cases = (
            _CASES.get(
                (reference, problem), (distribution.label, seed), draw_case, kernel, problem, seed, "cuda"
            )
            for seed in range(seeds)
        )
        return verify_on(kernel, problem, config, cases)

    verdicts = map(verdict, distributions)
    with marked(f"verify {reference}: {pairs(problem)}"):
        return _on_a_sound_gpu(lambda: next((verdict for verdict in verdicts if verdict), None))


def measure_on_gpu(
    reference: str,
    problem: Problem,
    configs: Mapping[str, Config],
    default: Config,
    settings: MeasureSettings,
    distribution: RoutingDistribution,
) -> BatchResult:
    """Measures configs of one problem against the default; runs in the GPU's worker."""

    def measure() -> BatchResult:
        from workbench.measure.clocks import open_clocks
        from workbench.measure.timers import GpuTimers
        from workbench.sweep.kernels import load_kernel

        kernel, timers = load_kernel(reference).under(distribution), GpuTimers()
        with marked("inputs"):
            inputs = _TIMED.get((reference, problem), distribution.label, timers.inputs, kernel, problem)
        with marked("single launches"):
            too_slow = slow_at_once(
                configs,
                default,
                settings,
                lambda config: timers.one_launch_us(kernel, problem, config, inputs),
            )

        def timer(config: Config) -> Timer:
            return timers.of_kernel(kernel, problem, config, inputs)

        with marked("graphs"):
            raced = {name: config for name, config in configs.items() if name not in too_slow}
            candidates = [TimedConfig(name, timer(config)) for name, config in raced.items()]
            baseline, control = timer(default), timer(default)
        # No range within a round: what is timed is the same with ranges and without.
        with marked("rounds"):
            result = measure_batch(
                candidates, default=baseline, default_again=control, settings=settings, clocks=open_clocks()
            )
        return replace(result, too_slow=too_slow)

    with marked(f"batch of {len(configs)} {reference}: {pairs(problem)}"):
        return _on_a_sound_gpu(measure)


def slow_at_once(
    configs: Mapping[str, Config],
    default: Config,
    settings: MeasureSettings,
    launch_us: Callable[[Config], float],
) -> dict[str, tuple[float, float]]:
    """The configs that single launches show to be hopeless, with their time and the default's, microseconds."""
    if settings.too_slow_ratio is None or not configs:
        return {}
    default_us = launch_us(default)
    times = {name: launch_us(config) for name, config in configs.items()}
    return {
        name: (time_us, default_us)
        for name, time_us in times.items()
        if time_us > settings.too_slow_ratio * default_us
    }


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
