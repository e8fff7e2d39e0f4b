"""Compiles candidates and screens them against the device."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock
from typing import Any

from workbench.executors import Executor
from workbench.search.strategy import Known
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.stages.compile import (
    code_identity,
    compile_candidate,
    compiled,
    loop_bounds,
    meta_launches,
)
from workbench.sweep.stages.screen import why_unlaunchable
from workbench.sweep.stages.time_model import LaunchShape, known_launches
from workbench.trials.trial import Candidate, Stage, Status, Trial, digest


class Builder:
    """Compiles candidates, each distinct machine code once for the same loop bounds, and screens them; from any thread.

    Args:
        subject: what is swept.
        pool: compiling workers.
        work: told of every compile.
    """

    def __init__(self, subject: Subject, pool: Executor, work: WorkCount) -> None:
        self._subject, self._pool, self._work = subject, pool, work
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
                launched = subject.runs(candidate)
                capability = subject.device.compute_capability
                arguments = (launched.reference, launched.candidate, capability)
                self._work.planned += 1
                self._builds[identity] = self._work.watch(
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
            launched = self._subject.runs(candidate)
            launches = meta_launches(launched.kernel, launched.candidate)
            identity = digest([code_identity(launches), *map(loop_bounds, launches)])
            self._launches[key] = (identity, tuple(launch.grid for launch in launches))
        return self._launches[key]
