"""Whether arms compute the same: their logits and experts on the same tokens, against what rounding alone does.

All arms read the same tokens (teacher forcing) after the same prompts. The floor is one arm under two configs of its
experts, which differ in nothing but the order in which they add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.models.quality import Quality, expert_set_mismatch, quality, rounding

# How much further than rounding an arm may be, and how far chance may carry a share, in standard deviations.
FLOOR_FACTOR = 2.0
DEVIATIONS = 3.0


@dataclass(frozen=True, slots=True)
class Recording:
    """What an arm computed over N = steps * B tokens.

    Attributes:
        logits: fp32 [N, V].
        ids: [layers * N, K], the experts.
        router_logits: fp32 [layers * N, E].
        resolution: the step of logits near 1 in the model's dtype; that of bf16 otherwise.
    """

    logits: np.ndarray
    ids: np.ndarray
    router_logits: np.ndarray
    resolution: float = 2.0**-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far one recording is from another.

    Attributes:
        quality: of the tokens' distributions and the experts' sets.
        routings: tokens times layers over which `quality.expert_mismatch` is.
        logit_max: the largest absolute difference of a logit; None where one is not finite.
        logit_mean: the mean one.
    """

    quality: Quality | None
    routings: int
    logit_max: float | None
    logit_mean: float | None
    finite: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """An arm against the first one.

    Attributes:
        reference: the first arm.
        floor: between two configs of the first.
        failures: why it is more than rounding; empty where it is not.
    """

    arm: str
    reference: str
    difference: Difference
    floor: Difference
    failures: tuple[str, ...]


def difference(reference: Recording, other: Recording) -> Difference:
    """How far two recordings of the same tokens are apart; experts by more than ties of one rounding."""
    apart = _experts_apart(reference, other)
    if not (np.isfinite(reference.logits).all() and np.isfinite(other.logits).all()):
        return Difference(quality=None, routings=len(apart), logit_max=None, logit_mean=None, finite=False)
    distance = np.abs(reference.logits - other.logits)
    return Difference(
        quality=quality(reference.logits, other.logits, apart),
        routings=len(apart),
        logit_max=float(distance.max()),
        logit_mean=float(distance.mean()),
    )


def _experts_apart(reference: Recording, other: Recording) -> np.ndarray:
    """Where the expert sets differ by more than ties; an id of no expert always does."""
    logits = reference.router_logits
    known = ((other.ids >= 0) & (other.ids < logits.shape[1])).all(axis=1)
    ids = np.where(known[:, None], other.ids, reference.ids)
    tolerance = rounding(logits, reference.resolution)
    apart: np.ndarray = expert_set_mismatch(reference.ids, ids, logits, tolerance=tolerance) | ~known
    return apart


def agree(arm: str, reference: str, found: Difference, floor: Difference, rounded: float) -> Agreement:
    """Judges a difference by the floor.

    Args:
        arm: whose difference it is.
        reference: from which arm.
        found: the difference.
        floor: what rounding alone does.
        rounded: one rounding of the largest logit.
    """
    failures = tuple(_failures(found, floor, rounded))
    return Agreement(arm=arm, reference=reference, difference=found, floor=floor, failures=failures)


def logit_rounding(recording: Recording) -> float:
    """One rounding of the largest logit, in the model's dtype."""
    return rounding(recording.logits, recording.resolution)


def _failures(found: Difference, floor: Difference, rounded: float) -> Iterator[str]:
    one, other = found.quality, floor.quality
    if one is None or other is None:
        yield "logits are not finite"
        return
    disagreement, floor_disagreement = 1 - one.top1_agreement, 1 - other.top1_agreement
    # Logits that move by d each change a distribution by about d^2 / 2 nats at most.
    divergence = FLOOR_FACTOR * other.kl_mean + rounded**2 / 2
    mismatch, floor_mismatch = one.expert_mismatch or 0.0, other.expert_mismatch or 0.0
    if mismatch > (limit := _limit(floor_mismatch, found.routings)):
        yield f"{mismatch:.2%} of the expert sets differ, up to {limit:.2%} is rounding"
    if disagreement > (limit := _limit(floor_disagreement, one.tokens)):
        yield f"{disagreement:.1%} of the tokens have another likeliest one, up to {limit:.1%} is rounding"
    if one.kl_mean > divergence:
        yield f"the distributions differ by {one.kl_mean:.2g} nats, up to {divergence:.2g} is rounding"


def _limit(floor: float, count: int) -> float:
    """The largest share that rounding and chance explain: of so many, at least one may differ."""
    share = min(1.0, FLOOR_FACTOR * floor)
    return share + DEVIATIONS * math.sqrt(share * (1 - share) / count) + 1 / count


def failures_of(agreements: Sequence[Agreement]) -> tuple[str, ...]:
    """All failures, a line each."""
    return tuple(
        f"arm {each.arm}: {failure} (against {each.reference})"
        for each in agreements
        for failure in each.failures
    )
