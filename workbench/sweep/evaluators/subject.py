"""What is being swept, and the rows of its candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import TunableKernel
from workbench.devices.device import Device
from workbench.executors import WorkFailure
from workbench.sweep.kernels import load_kernel
from workbench.trials.trial import Candidate, Stage, Status, Trial, trial_id


@dataclass(frozen=True, slots=True)
class LaunchedCandidate:
    """A candidate as it is launched.

    Attributes:
        reference: names its kernel, for worker processes.
    """

    reference: str
    kernel: TunableKernel
    candidate: Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is being swept, as every stage needs it.

    Attributes:
        reference: names the kernel, for worker processes.
        device: the GPU that the configs are for.
        verify_seeds: inputs drawn for each verification.
        distributions: what timed inputs are drawn from; none where nothing is timed.
    """

    reference: str
    kernel: TunableKernel
    device: Device
    source_hash: str
    verify_seeds: int
    distributions: tuple[RoutingDistribution, ...] = ()

    def runs(self, candidate: Candidate) -> LaunchedCandidate:
        """What a candidate launches on the device."""
        if self.kernel.runs is None:
            return LaunchedCandidate(self.reference, self.kernel, candidate)
        name, config = self.kernel.runs(candidate.problem, candidate.config, self.device.slug)
        return LaunchedCandidate(name, load_kernel(name), Candidate(candidate.problem, config))

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

    def failed_check(self, candidate: Candidate, verdict: str | WorkFailure | None) -> Trial | None:
        """The row of a candidate that failed its verification, None for one that passed."""
        if verdict is None:
            return None
        if isinstance(verdict, str):
            return self.trial(candidate, Stage.VERIFY, Status.WRONG_RESULT, reason=verdict)
        status = Status.CRASHED if verdict.kind == "error" else Status(verdict.kind)
        if "OutOfResources" in verdict.reason or "out of memory" in verdict.reason:
            status = Status.OUT_OF_RESOURCES
        return self.trial(candidate, Stage.VERIFY, status, reason=f"verifying: {verdict.reason}")
