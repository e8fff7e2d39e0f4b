"""Compiles candidates and screens them against the device."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Code:
    """The machine code of a candidate before it is compiled, by name.

    Attributes:
        bounds: names what decides how often its loops run.
        grids: of its launches.
    """

    identity: str
    bounds: str
    grids: tuple[tuple[int, int, int], ...]


class Builder:
    """Compiles candidates, each distinct machine code once, and screens them against the device; from any thread.

    Code with loops is looked at once more for other loop bounds; the compiler's cache has it then.

    Args:
        subject: what is swept.
        pool: compiling workers.
        work: told of every compile.
    """

    def __init__(self, subject: Subject, pool: Executor, work: WorkCount) -> None:
        self._subject, self._pool, self._work = subject, pool, work
        self._lock = Lock()
        self._builds: dict[str, Future[Any]] = {}
        # Of each code, the bounds that its first build was for.
        self._bounds: dict[str, str] = {}
        self._codes: dict[str, _Code] = {}

    def start(self, candidate: Candidate) -> Future[Any] | Trial:
        """The future of a candidate's code, or the trial that ends it before any compiling."""
        subject = self._subject
        try:
            if pruned := subject.rejected(candidate):
                return pruned
            code = self._described(candidate)
        except Exception as error:
            return subject.failed(candidate, error)
        with self._lock:
            name = self._name(code)
            if name not in self._builds:
                launched = subject.runs(candidate)
                arguments = (launched.reference, launched.candidate, subject.device.compute_capability)
                self._work.planned += 1
                self._bounds.setdefault(code.identity, code.bounds)
                self._builds[name] = self._work.watch(
                    self._pool.submit(compile_candidate, *arguments), Stage.COMPILE
                )
            return self._builds[name]

    def _name(self, code: _Code) -> str:
        """Names what a code's build says: where the first build found loops, their bounds are part of it."""
        first = self._builds.get(code.identity)
        if first is None or not first.done() or code.bounds == self._bounds[code.identity]:
            return code.identity
        resources = compiled(first.result()).resources
        return (
            f"{code.identity} {code.bounds}" if any(each.has_loops for each in resources) else code.identity
        )

    def finish(self, candidate: Candidate, build: Future[Any]) -> Trial | tuple[LaunchShape, ...]:
        """The launches of a candidate that can run on the device, or the trial that ends it here."""
        subject, code = self._subject, compiled(build.result())
        if code.status is not Status.OK:
            return subject.trial(candidate, Stage.COMPILE, code.status, reason=code.reason)
        if reason := why_unlaunchable(code.resources, subject.device):
            return subject.trial(
                candidate, Stage.SCREEN, Status.PRUNED, reason=reason, resources=code.resources
            )
        grids = self._described(candidate).grids
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

    def _described(self, candidate: Candidate) -> _Code:
        key = digest([dict(candidate.problem), dict(candidate.config)])
        if key not in self._codes:
            launched = self._subject.runs(candidate)
            launches = meta_launches(launched.kernel, launched.candidate)
            self._codes[key] = _Code(
                identity=code_identity(launches),
                bounds=digest([*map(loop_bounds, launches)]),
                grids=tuple(launch.grid for launch in launches),
            )
        return self._codes[key]
