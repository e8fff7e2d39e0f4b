"""Takes candidates through compile, screen and verify, and gives each a time: modelled here, measured on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from moe_kernels.tunable import LAUNCH_OPTIONS, Problem, Traffic, TunableKernel
from workbench.devices.device import Device
from workbench.executors import Executor, WorkFailure
from workbench.search.strategy import Known
from workbench.sweep.stages.compile import code_identity, compile_candidate, compiled, meta_launches
from workbench.sweep.stages.screen import why_unlaunchable
from workbench.sweep.stages.shrink import interpreted_problem
from workbench.sweep.stages.time_model import LaunchShape, known_launches, modelled_time_us
from workbench.trials.trial import Candidate, Evidence, Stage, Status, Trial, digest, trial_id

if TYPE_CHECKING:
    from moe_kernels.routing_distribution import RoutingDistribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is being swept, as every stage needs it.

    Attributes:
        reference: names the kernel, for worker processes.
        kernel: the kernel.
        device: the GPU that the configs are for.
        source_hash: of the kernel.
        verify_seeds: inputs drawn for each verification.
        distributions: what timed inputs are drawn from; none where nothing is timed.
    """

    reference: str
    kernel: TunableKernel
    device: Device
    source_hash: str
    verify_seeds: int
    distributions: tuple[RoutingDistribution, ...] = ()

    def trial(self, candidate: Candidate, stage: Stage, status: Status, **known: Any) -> Trial:
        """The row of a candidate."""
        name = trial_id(
            self.source_hash, candidate, self.device.slug, [each.label for each in self.distributions]
        )
        problem, config = dict(candidate.problem), dict(candidate.config)
        return Trial(trial=name, problem=problem, config=config, stage=stage, status=status, **known)

    def rejected(self, candidate: Candidate) -> Trial | None:
        """The row of a candidate that the kernel cannot take, anywhere or on this GPU; None for others."""
        problem, config = candidate.problem, candidate.config
        if reason := self.kernel.why_rejected(problem, config):
            return self.trial(candidate, Stage.SPACE, Status.PRUNED, reason=reason)
        if reason := self.kernel.reject_on(problem, config, self.device.compute_capability):
            return self.trial(candidate, Stage.SCREEN, Status.PRUNED, reason=reason)
        return None

    def failed(self, candidate: Candidate, error: Exception) -> Trial:
        """The row of a candidate for which the kernel's own description raised."""
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return self.trial(candidate, Stage.COMPILE, Status.COMPILE_ERROR, reason=what)


class Evaluator(Protocol):
    """Turns candidates of one problem into trials."""

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts whatever can run ahead, of any number of problems."""
        ...

    def known(self, candidate: Candidate) -> Known | None:
        """What is known of a prepared candidate before it is timed, None where nothing is yet."""
        ...

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """The trials of candidates as they become known; those that came about together, together.

        Args:
            candidates: of one problem.
            known: what is known of the same problem already.
        """
        ...


class Workload:
    """How much work there is, how much of it is done, and which stage finished some last.

    Trials share compiles and verifications, so counting trials would tell a wrong time that is left.

    Args:
        changed: called, from any thread, after something was done.
    """

    def __init__(self, changed: Callable[[Workload], None]) -> None:
        self._changed = changed
        self.planned = self.done = 0
        self.stage = Stage.SPACE

    def watch(self, future: Future[Any], stage: Stage) -> Future[Any]:
        """Counts a future's end; it must have been planned."""
        future.add_done_callback(lambda _: self.finish(stage))
        return future

    def finish(self, stage: Stage) -> None:
        """Counts one piece of a stage's work as done."""
        self.stage = stage
        self.done += 1
        self._changed(self)


class Builder:
    """Compiles candidates, each distinct machine code once, and screens them against the device; from any thread.

    Args:
        subject: what is swept.
        pool: compiling workers.
        workload: told of every compile.
    """

    def __init__(self, subject: Subject, pool: Executor, workload: Workload) -> None:
        self._subject, self._pool, self._workload = subject, pool, workload
        self._lock = Lock()
        self._builds: dict[str, Future[Any]] = {}
        self._launches: dict[str, tuple[str, tuple[tuple[int, int, int], ...]]] = {}

    def start(self, candidate: Candidate) -> Future[Any] | Trial:
        """The future of a candidate's code, or the trial that ends it before any compiling."""
        subject = self._subject
        try:
            if pruned := subject.rejected(candidate):
                return pruned
            identity, _ = self._identify(candidate)
        except Exception as error:
            return subject.failed(candidate, error)
        with self._lock:
            if identity not in self._builds:
                arguments = (subject.reference, candidate, subject.device.compute_capability)
                self._workload.planned += 1
                self._builds[identity] = self._workload.watch(
                    self._pool.submit(compile_candidate, *arguments), Stage.COMPILE
                )
            return self._builds[identity]

    def finish(self, candidate: Candidate, build: Future[Any]) -> Trial | tuple[LaunchShape, ...]:
        """The launches of a candidate that can run on the device, or the trial that ends it here."""
        subject, code = self._subject, compiled(build.result())
        if code.status is not Status.OK:
            return subject.trial(candidate, Stage.COMPILE, code.status, reason=code.reason)
        if reason := why_unlaunchable(code.resources, subject.device):
            return subject.trial(
                candidate, Stage.SCREEN, Status.PRUNED, reason=reason, resources=code.resources
            )
        _, grids = self._identify(candidate)
        return tuple(LaunchShape.of(*launch) for launch in zip(grids, code.resources, strict=True))

    def known(self, candidate: Candidate) -> Known | None:
        """What a candidate's code says of it, once it is compiled and if it can launch."""
        build = self.start(candidate)
        if isinstance(build, Trial) or not build.done():
            return None
        launches = self.finish(candidate, build)
        if isinstance(launches, Trial):
            return None
        return known_launches(launches, self._subject.kernel.traffic(candidate.problem), self._subject.device)

    def _identify(self, candidate: Candidate) -> tuple[str, tuple[tuple[int, int, int], ...]]:
        key = digest([dict(candidate.problem), dict(candidate.config)])
        if key not in self._launches:
            launches = meta_launches(self._subject.kernel, candidate)
            self._launches[key] = (code_identity(launches), tuple(launch.grid for launch in launches))
        return self._launches[key]


def advance_all(
    candidates: Sequence[Candidate], advance: Callable[[Candidate], Trial | Future[Any]]
) -> Iterator[Trial]:
    """Advances candidates until each is a trial, whichever is ready first.

    Args:
        candidates: where to start.
        advance: takes a candidate as far as it can: to its trial, or to a future to wait for.
    """
    ready, waiting = list(candidates), dict[Future[Any], list[Candidate]]()
    while ready or waiting:
        for candidate in ready:
            step = advance(candidate)
            if isinstance(step, Trial):
                yield step
            else:
                waiting.setdefault(step, []).append(candidate)
        done, _ = wait(waiting, return_when=FIRST_COMPLETED) if waiting else (set(), set())
        ready = [candidate for future in done for candidate in waiting.pop(future)]


class ModelledEvaluator:
    """For a GPU that is not there: compiles for it, verifies in Triton's interpreter, ranks by the model.

    Args:
        subject: what is swept.
        compilers: compiling workers.
        interpreters: workers in which Triton interprets.
        workload: told of every compile and verification.
    """

    def __init__(
        self, subject: Subject, compilers: Executor, interpreters: Executor, workload: Workload
    ) -> None:
        self._subject, self._interpreters, self._workload = subject, interpreters, workload
        self._builder = Builder(subject, compilers, workload)
        self._checks: dict[str, Future[Any]] = {}
        self._planned_checks: set[str] = set()
        # A candidate comes by several times, and finding its small problem can mean describing many launches.
        self._code_paths: dict[str, tuple[Problem, str]] = {}

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts compiling, and counts the verifications that will follow."""
        for candidate in candidates:
            if not isinstance(self._builder.start(candidate), Trial):
                # A description that raises becomes a row when its candidate is evaluated.
                with suppress(Exception):
                    self._plan_check(self._code_path(candidate)[1])

    def known(self, candidate: Candidate) -> None:
        """Nothing: the time will itself come from what is known of the code."""

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """The trial of each candidate, as soon as it is known."""
        return ([trial] for trial in advance_all(candidates, self._advance))

    def _advance(self, candidate: Candidate) -> Trial | Future[Any]:
        build = self._builder.start(candidate)
        if isinstance(build, Trial) or not build.done():
            return build
        launches = self._builder.finish(candidate, build)
        if isinstance(launches, Trial):
            return launches
        try:
            problem, check = self._check(candidate)
            traffic = self._subject.kernel.traffic(candidate.problem)
        except Exception as error:
            return self._subject.failed(candidate, error)
        if not check.done():
            return check
        return self._model(candidate, launches, traffic, problem, check.result())

    def _check(self, candidate: Candidate) -> tuple[Problem, Future[Any]]:
        """The verification of a candidate's code path, once however many configs and problems share it."""
        subject = self._subject
        problem, key = self._code_path(candidate)
        if key not in self._checks:
            self._plan_check(key)
            arguments = (subject.reference, problem, dict(candidate.config), subject.verify_seeds)
            check = self._interpreters.submit(verify_interpreted, *arguments)
            self._checks[key] = self._workload.watch(check, Stage.VERIFY)
        return problem, self._checks[key]

    def _plan_check(self, key: str) -> None:
        self._workload.planned += key not in self._planned_checks
        self._planned_checks.add(key)

    def _code_path(self, candidate: Candidate) -> tuple[Problem, str]:
        """The small problem that stands for a candidate in the interpreter, and a name for the code it runs."""
        key = digest([dict(candidate.problem), dict(candidate.config)])
        if key not in self._code_paths:
            problem = interpreted_problem(self._subject.kernel, candidate.problem, candidate.config)
            path = {name: value for name, value in candidate.config.items() if name not in LAUNCH_OPTIONS}
            self._code_paths[key] = (problem, digest([dict(problem), path]))
        return self._code_paths[key]

    def _model(
        self,
        candidate: Candidate,
        launches: Sequence[LaunchShape],
        traffic: Traffic,
        verified_on: Problem,
        verdict: Any,
    ) -> Trial:
        subject = self._subject
        resources = tuple(launch.resources for launch in launches)
        if failed := failed_check(subject, candidate, verdict):
            return replace(failed, resources=resources, verified_on=verified_on)
        return subject.trial(
            candidate,
            Stage.MEASURE,
            Status.OK,
            time_us=modelled_time_us(launches, traffic, subject.device),
            evidence=Evidence.MODELLED,
            resources=resources,
            verified_on=verified_on,
        )


def failed_check(subject: Subject, candidate: Candidate, verdict: str | WorkFailure | None) -> Trial | None:
    """The trial of a candidate that failed its verification, None for one that passed."""
    if verdict is None:
        return None
    if isinstance(verdict, str):
        return subject.trial(candidate, Stage.VERIFY, Status.WRONG_RESULT, reason=verdict)
    status = Status.CRASHED if verdict.kind == "error" else Status(verdict.kind)
    if "OutOfResources" in verdict.reason or "out of memory" in verdict.reason:
        status = Status.OUT_OF_RESOURCES
    return subject.trial(candidate, Stage.VERIFY, status, reason=f"verifying: {verdict.reason}")


def verify_interpreted(reference: str, problem: Problem, config: dict[str, Any], seeds: int) -> str | None:
    """Verifies a config in Triton's interpreter; runs in a worker whose environment turns it on."""
    import numpy as np

    from workbench.sweep.kernels import load_kernel
    from workbench.sweep.stages.interpreter import support_bfloat16, support_e4m3_scales, support_loop_bounds
    from workbench.sweep.stages.verify import verify

    support_bfloat16()
    support_loop_bounds()
    support_e4m3_scales()
    # Interpreted masked lanes compute on whatever they hold, which numpy remarks on.
    with np.errstate(all="ignore"):
        return verify(load_kernel(reference), problem, config, seeds=range(seeds), device="cpu")
