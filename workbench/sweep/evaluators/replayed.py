"""Evaluates candidates by looking them up in a recording, as they are or with noise drawn over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import Config, Problem
from workbench.devices import Device
from workbench.measure.race import BatchResult, MeasureSettings, TimedConfig, measure_batch
from workbench.replay import DEVICE, Family, Landscape, Noise, NoisyGpu, NoisyTimer, problem_key
from workbench.search.strategy import Known
from workbench.sweep.stages.time_model import known_resources
from workbench.trials.trial import Candidate, Evidence, Resources, Stage, Status, Trial, digest, trial_id


class ReplayedFront:
    """The trials that a recorded family gives, up to their times.

    Args:
        family: what was recorded.
        source_hash: stands for the kernel's source in the names of trials.
        device: of the sweep, in the names of trials.
        gpus: what is known of the recorded GPUs, by slug.
    """

    def __init__(self, family: Family, source_hash: str, device: str, gpus: Mapping[str, Device]) -> None:
        self._family, self._source_hash, self._device, self._gpus = family, source_hash, device, gpus

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Nothing runs ahead."""

    def advance(self, candidate: Candidate) -> Trial:
        """The candidate's trial: failed as recorded, or ok and to be timed."""
        landscape, row = self.find(candidate.problem, candidate.config)
        if row is None:
            return self._trial(
                candidate, Stage.SPACE, Status.SKIPPED, reason="the recording does not hold it"
            )
        resources = landscape.resources.get(row, ())
        if failure := landscape.failures.get(row):
            return self._trial(
                candidate, Stage.COMPILE, failure.status, reason=failure.reason, resources=resources
            )
        return self._trial(candidate, Stage.VERIFY, Status.OK, resources=resources)

    def known(self, candidate: Candidate) -> Known | None:
        """What the recording says of the compiled code, where it does and the GPU is in the catalogue."""
        landscape, row = self.find(candidate.problem, candidate.config)
        gpu = self._gpus.get(str(candidate.problem[DEVICE]))
        resources = landscape.resources.get(row, ()) if row is not None else ()
        return known_resources(resources, gpu) if resources and gpu else None

    def find(self, problem: Problem, config: Config) -> tuple[Landscape, int | None]:
        """A problem's landscape, and the config's row in it."""
        landscape = self._family.by_problem[problem_key(problem)]
        return landscape, landscape.table.find(config)

    def time_us(self, problem: Problem, config: Config) -> float:
        """The recorded time of a config that has one, microseconds."""
        landscape, row = self.find(problem, config)
        assert row is not None
        return float(landscape.times_us[row])

    def _trial(
        self,
        candidate: Candidate,
        stage: Stage,
        status: Status,
        reason: str | None = None,
        resources: tuple[Resources, ...] = (),
    ) -> Trial:
        return Trial(
            trial=trial_id(self._source_hash, candidate, self._device),
            problem=dict(candidate.problem),
            config=dict(candidate.config),
            stage=stage,
            status=status,
            reason=reason,
            resources=resources,
        )


class ReplayedEvaluator:
    """Gives recorded times as they are."""

    def __init__(self, recorded: ReplayedFront) -> None:
        self._recorded = recorded
        self.prepare, self.known = recorded.prepare, recorded.known

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """Each candidate's trial."""
        for candidate in candidates:
            yield [self._timed(self._recorded.advance(candidate))]

    def _timed(self, trial: Trial) -> Trial:
        if trial.status is not Status.OK:
            return trial
        time_us = self._recorded.time_us(trial.problem, trial.config)
        return replace(trial, stage=Stage.MEASURE, time_us=time_us, evidence=Evidence.REPLAYED)


class ReplayedTiming:
    """Times on a noisy GPU that takes recorded times for true."""

    def __init__(self, recorded: ReplayedFront, noise: Noise) -> None:
        self._recorded, self._noise = recorded, noise

    def time(
        self,
        problem: Problem,
        configs: Mapping[str, Config],
        baseline: Config,
        settings: MeasureSettings,
        distribution: RoutingDistribution,
    ) -> BatchResult:
        """One batch; its noise follows from problem, configs and the settings' seed: a resumed run repeats it."""
        gpu = NoisyGpu(self._noise, [problem_key(problem), settings.seed, digest(list(configs))])

        def timer(config: Config) -> NoisyTimer:
            return gpu.timer(self._recorded.time_us(problem, config))

        return measure_batch(
            [TimedConfig(name, timer(config)) for name, config in configs.items()],
            default=timer(baseline),
            default_again=timer(baseline),
            settings=settings,
            clocks=gpu,
            now=gpu.now,
        )

    def refresh(self) -> None:
        """Every batch is a process of its own here."""
