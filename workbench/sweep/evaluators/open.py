"""Opens the evaluator that a plan needs, with its worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from moe_kernels.routing_distribution import UNIFORM
from workbench.devices import Device
from workbench.executors.site import LocalSite, Site
from workbench.sweep.evaluators.builder import Builder
from workbench.sweep.evaluators.evaluator import Evaluator
from workbench.sweep.evaluators.gpu import GpuFront, GpuTiming
from workbench.sweep.evaluators.modelled import ModelledEvaluator
from workbench.sweep.evaluators.ranked import RankedEvaluator
from workbench.sweep.evaluators.replayed import ReplayedEvaluator, ReplayedFront, ReplayedTiming
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.evaluators.timed import Front, TimedEvaluator, Timing
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.plan import SweepPlan
from workbench.sweep.stages.compile import warm_up
from workbench.trials.journal import Journal
from workbench.trials.trial import Evidence

# What Triton says of a config that it cannot compile or launch: its process is as sound as before.
CLEAN_ERRORS = ("CompilationError", "CompileTimeAssertionFailure", "OutOfResources", "PTXASError")
Rows = Sequence[Mapping[str, Any]]


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
HERE = LocalSite()


@contextmanager
def open_evaluators(
    plan: SweepPlan,
    timeouts: Timeouts,
    work: WorkCount,
    journal: Journal,
    *,
    site: Site = HERE,
    has_work: bool,
) -> Iterator[Sequence[Evaluator]]:
    """The evaluators for what the site has, and for what is asked: one a GPU that is timed, else one.

    Args:
        plan: the sweep.
        timeouts: when to give up on a config.
        work: told of all of it.
        journal: takes the raw rounds.
        site: where the workers are.
        has_work: False for a finished run, which starts no compilers.
    """
    if plan.family is not None:
        yield [_replayed(plan, work, journal.record_samples)]
        return
    assert isinstance(plan.device, Device)
    subject = Subject(
        reference=plan.loaded.spec.kernel,
        kernel=plan.kernel,
        device=plan.device,
        source_hash=plan.source_hash,
        verify_seeds=plan.loaded.spec.verify.seeds,
        distributions=plan.distributions,
    )
    with ExitStack() as stack:
        compilers = stack.enter_context(
            site.workers(plan.jobs, timeout_s=timeouts.compile_s, harmless=CLEAN_ERRORS)
        )
        for _ in range(plan.jobs if has_work else 0):
            compilers.submit(warm_up, subject.reference, plan.device.compute_capability)
        if plan.evidence is Evidence.MEASURED:
            seconds = timeouts.gpu_s + plan.loaded.spec.measure.max_seconds
            gpus = site.gpu_workers(timeout_s=seconds, harmless=CLEAN_ERRORS)
            builder = Builder(subject, compilers, work)
            yield [
                _timed(
                    plan,
                    GpuFront(subject, builder, stack.enter_context(gpu)),
                    GpuTiming(subject.reference, gpu),
                    work,
                    journal.record_samples,
                )
                for gpu in gpus
            ]
            return
        interpreting = {"TRITON_INTERPRET": "1"}
        interpreters = site.workers(plan.jobs, timeout_s=timeouts.verify_s, environment=interpreting)
        modelled = ModelledEvaluator(subject, compilers, stack.enter_context(interpreters), work)
        ranked = RankedEvaluator(subject, modelled, plan.kernel.default_config)
        yield [ranked if plan.is_ranked else modelled]


def _replayed(plan: SweepPlan, work: WorkCount, record_samples: Callable[[Rows], None]) -> Evaluator:
    assert plan.family is not None
    devices = (plan.device_of(problem) for problem in plan.space.problems)
    gpus = {device.slug: device for device in devices if isinstance(device, Device)}
    recorded = ReplayedFront(plan.family, plan.source_hash, plan.device.slug, gpus)
    if plan.noise is None:
        return ReplayedEvaluator(recorded)
    return _timed(plan, recorded, ReplayedTiming(recorded, plan.noise), work, record_samples)


def _timed(
    plan: SweepPlan, front: Front, timing: Timing, work: WorkCount, record_samples: Callable[[Rows], None]
) -> TimedEvaluator:
    return TimedEvaluator(
        front,
        timing,
        evidence=plan.evidence,
        default=plan.kernel.default_config,
        settings=plan.loaded.spec.measure.settings,
        distributions=plan.distributions or (UNIFORM,),
        record_samples=record_samples,
        work=work,
    )
