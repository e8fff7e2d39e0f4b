"""Profiles decode steps of several arms of one model: do they run what they claim, agree, and how fast are they."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from moe_kernels.experts.backend import Backend
from workbench.base.errors import InputError
from workbench.models.gemma4 import Gemma4Config
from workbench.models.gemma4.arms import Arm
from workbench.models.gemma4.routings import noted_routings
from workbench.timeline.agreement import Agreement, Recording, agree, difference, failures_of, logit_rounding
from workbench.timeline.analysis import Analysis
from workbench.timeline.arms import liveness_of, not_tuned, of_routing, tuned_from
from workbench.timeline.capture import Tell, capture_arms, time_arms
from workbench.timeline.decode_session import DecodeSession, working_dtype
from workbench.timeline.liveness import check_liveness
from workbench.timeline.record import ThroughputGain
from workbench.timeline.spread import Spread
from workbench.timeline.summary import Summary, summarise
from workbench.timeline.trace import Basis

ROUNDS = 3
# Tokens on which arms are compared: a step of each sequence, and as many more as stay within this.
COMPARED_TOKENS = 128
COMPARED_STEPS = 16
# Takes tokens [B, 1], gives logits [B, 1, V] and more.
DecodeStep: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRequest:
    """What to profile.

    Attributes:
        model: the name of a preset.
        config: its, with as many layers as wanted.
        arms: the first is what the others are compared with.
        batch: sequences, one token a step each.
        context: tokens of each prompt.
        steps: of an arm in each of `ROUNDS` rounds.
        graph: steps are replayed as CUDA graphs.
        seed: of weights and tokens.
    """

    model: str
    config: Gemma4Config
    arms: tuple[Arm, ...]
    batch: int
    context: int
    steps: int
    graph: bool
    device: torch.device
    seed: int

    @property
    def basis(self) -> Basis:
        """What the timelines hold: GPU work, or CPU ops where there is no GPU."""
        return "gpu" if self.device.type == "cuda" else "cpu"

    @property
    def compared_steps(self) -> int:
        """Steps on whose tokens the arms are compared."""
        return max(1, min(COMPARED_STEPS, COMPARED_TOKENS // self.batch))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledArm:
    """One arm of a profile.

    Attributes:
        analysis: its steps as a trace of their own.
        step_us: a step without a profiler, on the host's clock, over the rounds.
        failures: why it did not run what it claims; empty where it did.
    """

    arm: Arm
    analysis: Analysis
    summary: Summary
    step_us: Spread
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All that was found.

    Attributes:
        agreements: of each arm but the first, with the first.
        tuned_from: where the tuned arm's configs come from, by kernel; None where the default is taken.
    """

    request: ProfileRequest
    arms: tuple[ProfiledArm, ...]
    agreements: tuple[Agreement, ...]
    tuned_from: Mapping[str, str | None]

    @property
    def failures(self) -> tuple[str, ...]:
        """Why no figure of this profile may be compared; empty where they may."""
        alive = (f"liveness: {line}" for each in self.arms for line in each.failures)
        return (*alive, *(f"correctness: {line}" for line in failures_of(self.agreements)))

    @property
    def speedups(self) -> tuple[ThroughputGain, ...] | None:
        """Of each arm but the first; None where a gate failed."""
        if self.failures:
            return None
        first, *others = self.arms
        return tuple(
            ThroughputGain(
                arm=each.arm.name,
                reference=first.arm.name,
                throughput_gain=first.step_us.median / each.step_us.median - 1,
                beyond_spread=first.step_us.apart(each.step_us),
            )
            for each in others
        )


@torch.inference_mode()
def run_profile(request: ProfileRequest, tell: Tell) -> Profile:
    """Checks the arms against each other, then times them, then captures their timelines.

    Raises:
        InputError: the model does not fit the memory.
    """
    tell(f"{request.model}: drawing {request.config.depth} on {request.device.type}")
    try:
        return _run(request, tell)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"{request.config.depth} with {request.batch} sequences do not fit the GPU's memory",
            key="--batch",
        ) from error


def _run(request: ProfileRequest, tell: Tell) -> Profile:
    session = DecodeSession(
        request.config,
        request.device,
        batch=request.batch,
        context=request.context,
        forced=request.compared_steps,
        seed=request.seed,
    )
    first = request.arms[0]
    session.fill(first)
    steps = {arm.name: session.step_of(arm, graph=request.graph) for arm in request.arms}
    agreements = _compare(request, session, steps, tell)
    session.fill(first)
    runners = {arm.name: session.runner(arm, steps[arm.name]) for arm in request.arms}
    times = time_arms(runners, request.device, rounds=ROUNDS, steps=request.steps, tell=tell)
    analyses = capture_arms(runners, request.device, rounds=ROUNDS, steps=request.steps, tell=tell)
    sources = tuned_from(request.config, working_dtype(request.device), request.batch, request.device)
    return Profile(
        request=request,
        arms=tuple(
            _profiled(request, arm, analyses[arm.name], times[arm.name], sources) for arm in request.arms
        ),
        agreements=agreements,
        tuned_from=sources,
    )


def _compare(
    request: ProfileRequest, session: DecodeSession, steps: Mapping[str, DecodeStep], tell: Tell
) -> tuple[Agreement, ...]:
    first, *others = request.arms
    if not others:
        return ()
    tell(f"comparing {', '.join(arm.name for arm in request.arms)} on {request.compared_steps} steps")
    reference = _record(session, first, first, steps[first.name])
    again = _record(session, first, first, session.eager_step, session.other_backend())
    floor, rounding = difference(reference, again), logit_rounding(reference)
    return tuple(
        agree(
            arm.name,
            first.name,
            difference(reference, _record(session, arm, first, steps[arm.name])),
            floor,
            rounding,
        )
        for arm in others
    )


def _record(
    session: DecodeSession, arm: Arm, filled_by: Arm, step: DecodeStep, backend: Backend = "auto"
) -> Recording:
    """What an arm computes over the session's tokens.

    Args:
        session: the model and its tokens.
        arm: what runs.
        filled_by: the arm that reads the prompts, the same for all.
        step: the arm's step, which the logits are of; the experts are of an eager one, since a graph hides them.
        backend: of the experts.
    """
    session.fill(filled_by)
    with noted_routings(session.model) as routings:
        _forced(session, arm, session.eager_step, backend)
    session.fill(filled_by)
    return Recording(
        logits=_forced(session, arm, step, backend).numpy(),
        ids=torch.cat([ids for _, ids in routings]).cpu().numpy(),
        router_logits=torch.cat([logits for logits, _ in routings]).float().cpu().numpy(),
        resolution=torch.finfo(working_dtype(session.device)).eps,
    )


def _forced(session: DecodeSession, arm: Arm, step: DecodeStep, backend: Backend) -> Tensor:
    """Logits fp32 [steps * B, V] of the tokens that follow the prompts in the cache."""
    logits = []
    with session.running(arm, backend):
        for tokens in session.forced.unbind(1):
            logits.append(step(tokens[:, None])[0][:, 0].float().cpu())
            session.cache.lengths += 1
    session.cache.lengths.copy_(session.lengths)
    return torch.cat(logits)


def _profiled(
    request: ProfileRequest,
    arm: Arm,
    analysis: Analysis,
    step_us: Spread,
    sources: Mapping[str, str | None],
) -> ProfiledArm:
    summary, basis = summarise(analysis), request.basis
    declared = liveness_of(arm.name, basis, request.config.num_hidden_layers)
    return ProfiledArm(
        arm=arm,
        analysis=analysis,
        summary=summary,
        step_us=step_us,
        failures=(
            *check_liveness(arm.name, declared, of_routing(summary, basis)),
            *not_tuned(arm, sources, basis),
        ),
    )
