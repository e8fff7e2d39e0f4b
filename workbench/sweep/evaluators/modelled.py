"""For a GPU that is not there: candidates are compiled, screened, verified in Triton's interpreter, and modelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any

from moe_kernels.tunable import LAUNCH_OPTIONS, Problem, Traffic
from workbench.executors import Executor
from workbench.sweep.evaluators.builder import Builder
from workbench.sweep.evaluators.evaluator import advance_all
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.stages.interpreter import verify_interpreted
from workbench.sweep.stages.shrink import interpreted_problem
from workbench.sweep.stages.time_model import (
    LaunchShape,
    in_flight_share,
    modelled_time_us,
)
from workbench.trials.trial import Candidate, Evidence, Stage, Status, Trial, digest

NOT_MODELLED = "not modelled: the data decide how often a loop runs, and the launch's data_trips do not say"


class ModelledEvaluator:
    """For a GPU that is not there: compiles for it, verifies in Triton's interpreter, ranks by the model.

    Args:
        subject: what is swept.
        compilers: compiling workers.
        interpreters: workers in which Triton interprets.
        work: told of every compile and verification.
    """

    def __init__(
        self, subject: Subject, compilers: Executor, interpreters: Executor, work: WorkCount
    ) -> None:
        self._subject, self._interpreters, self._work = subject, interpreters, work
        self._builder = Builder(subject, compilers, work)
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
            launched = subject.runs(candidate)
            config = dict(launched.candidate.config)
            arguments = (launched.reference, problem, config, subject.verify_seeds)
            check = self._interpreters.submit(verify_interpreted, *arguments)
            self._checks[key] = self._work.watch(check, Stage.VERIFY)
        return problem, self._checks[key]

    def _plan_check(self, key: str) -> None:
        self._work.planned += key not in self._planned_checks
        self._planned_checks.add(key)

    def _code_path(self, candidate: Candidate) -> tuple[Problem, str]:
        """The small problem that stands for a candidate in the interpreter, and a name for the code it runs."""
        key = digest([dict(candidate.problem), dict(candidate.config)])
        if key not in self._code_paths:
            launched = self._subject.runs(candidate)
            config = launched.candidate.config
            problem = interpreted_problem(launched.kernel, candidate.problem, config)
            path = {name: value for name, value in config.items() if name not in LAUNCH_OPTIONS}
            self._code_paths[key] = (problem, digest([launched.reference, dict(problem), path]))
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
        if failed := subject.failed_check(candidate, verdict):
            return replace(failed, resources=resources, verified_on=verified_on)
        known = {"resources": resources, "verified_on": verified_on}
        time_us = modelled_time_us(launches, traffic, subject.device)
        if time_us is None:
            return subject.trial(candidate, Stage.VERIFY, Status.SKIPPED, reason=NOT_MODELLED, **known)
        share = in_flight_share(launches, subject.device)
        return subject.trial(
            candidate,
            Stage.MEASURE,
            Status.OK,
            time_us=time_us,
            evidence=Evidence.MODELLED,
            in_flight_share=share,
            **known,
        )
