"""How far two arms differ in what they compute: pure functions on the arrays of a teacher-forced pass.

Both arms read the same tokens, so that one early difference does not make all later ones. Two configs of one arm differ
too, by rounding; a difference between arms means something only beyond that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How far an arm is from another over some tokens.

    Attributes:
        top1_agreement: share of positions at which both find the same token most likely.
        kl_mean: mean over positions of KL(reference || arm), nats.
        kl_p99: its 99th percentile.
        expert_mismatch: share of tokens and layers whose experts differ by more than ties, None where not known.
    """

    tokens: int
    top1_agreement: float
    kl_mean: float
    kl_p99: float
    expert_mismatch: float | None = None

    def floor(self, *others: Quality, margin: float = 2.0, resolution: float = 2.0**-7) -> Quality:
        """What arms may differ by, from differences between configs of one arm: the worst of them, with a margin.

        Both sides are estimates of as many tokens, so equal ones exceed each other half the time: differences up to
        `margin` times the worst pass. One token does in any case, and so does a divergence of half the square of
        `resolution`, which is about what a change of logits by that much comes to.

        Args:
            others: further differences between configs.
            margin: 1 or more.
            resolution: the step of logits near 1 in the model's dtype; that of bf16 otherwise.
        """
        resolved = 0.5 * resolution**2
        all_ = (self, *others)
        disagreement = max(1 - each.top1_agreement for each in all_)
        mismatches = [each.expert_mismatch for each in all_ if each.expert_mismatch is not None]
        return Quality(
            tokens=self.tokens,
            top1_agreement=min(1 - margin * disagreement, 1 - 1 / self.tokens),
            kl_mean=max(margin * max(each.kl_mean for each in all_), resolved),
            kl_p99=max(margin * max(each.kl_p99 for each in all_), resolved),
            expert_mismatch=max(margin * max(mismatches), 1 / self.tokens) if mismatches else None,
        )

    def within(self, floor: Quality) -> bool:
        """Whether this difference is no larger than one between two configs of one arm."""
        mismatches = (self.expert_mismatch or 0.0, floor.expert_mismatch or 0.0)
        return (
            self.top1_agreement >= floor.top1_agreement
            and self.kl_mean <= floor.kl_mean
            and self.kl_p99 <= floor.kl_p99
            and mismatches[0] <= mismatches[1]
        )


def quality(reference: ArrayLike, arm: ArrayLike, mismatched: ArrayLike | None = None) -> Quality:
    """Compares the logits of two arms on the same tokens.

    Args:
        reference: [N, V] logits of the arm that is compared with.
        arm: [N, V] logits of the other.
        mismatched: as `expert_set_mismatch` returns it, of every layer together.
    """
    return quality_of(top1_agreement(reference, arm), kl_divergence(reference, arm), mismatched)


def quality_of(agreement: ArrayLike, divergence: ArrayLike, mismatched: ArrayLike | None = None) -> Quality:
    """Sums up what was found position by position.

    Args:
        agreement: [N], as `top1_agreement` returns it.
        divergence: [N], as `kl_divergence` returns it.
        mismatched: as `expert_set_mismatch` returns it, of every layer together.
    """
    divergence = _floats(divergence)
    return Quality(
        tokens=len(divergence),
        top1_agreement=float(np.asarray(agreement).mean()),
        kl_mean=float(divergence.mean()),
        kl_p99=float(np.quantile(divergence, 0.99)),
        expert_mismatch=None if mismatched is None else float(np.asarray(mismatched).mean()),
    )


def top1_agreement(reference: ArrayLike, arm: ArrayLike) -> Booleans:
    """Where both find the same token most likely; a tie for the first place agrees with any of the tied.

    Args:
        reference: [N, V] logits.
        arm: [N, V] logits of the same positions.

    Returns:
        [N] booleans.

    Raises:
        ValueError: the shapes differ or are no [N, V] with N and V above 0, or a logit is NaN.
    """
    one, other = _logits(reference, arm)
    tied = (one == one.max(axis=1, keepdims=True)) & (other == other.max(axis=1, keepdims=True))
    agreement: Booleans = tied.any(axis=1)
    return agreement


def kl_divergence(reference: ArrayLike, arm: ArrayLike) -> Floats:
    """KL(reference || arm) of the next-token distributions, nats, in float64.

    sum_v p(v) * (log p(v) - log q(v)) with p, q the softmaxes of the logits; a token of probability 0 in p adds 0.

    Args:
        reference: [N, V] logits.
        arm: [N, V] logits of the same positions.

    Returns:
        [N] divergences, 0 or more.

    Raises:
        ValueError: as `top1_agreement`.
    """
    log_p, log_q = map(_log_softmax, _logits(reference, arm))
    probability = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        terms = np.where(probability > 0, probability * (log_p - log_q), 0.0)
    divergence: Floats = np.maximum(terms.sum(axis=1), 0.0)
    return divergence


def expert_set_mismatch(
    reference_ids: ArrayLike, arm_ids: ArrayLike, router_logits: ArrayLike, *, tolerance: float = 0.0
) -> Booleans:
    """Where two arms route a token to different experts, other than by breaking a tie differently.

    An expert that is in one set only is excused where its logit lies within `tolerance` of the K-th largest: then both
    sets are top-K of logits that agree.

    Args:
        reference_ids: [T, K] expert ids, in any order.
        arm_ids: [T, K] expert ids of the same tokens.
        router_logits: [T, E] logits of the reference.
        tolerance: half the width of what counts as a tie, in logits; 0 for exact ties.

    Returns:
        [T] booleans, True where the sets differ by more than ties.

    Raises:
        ValueError: the shapes do not fit together, or an id is none of E experts.
    """
    one, other, logits = np.asarray(reference_ids), np.asarray(arm_ids), _floats(router_logits)
    _check_routing(one, other, logits)
    chosen, chosen_by_other = _membership(one, logits.shape[1]), _membership(other, logits.shape[1])
    last = np.sort(logits, axis=1)[:, -one.shape[1]]
    distance: Floats = np.abs(logits - last[:, None])
    mismatch: Booleans = np.any((chosen != chosen_by_other) & (distance > tolerance), axis=1)
    return mismatch


def rounding(values: ArrayLike, resolution: float) -> float:
    """One rounding of the largest of some logits: closer than that, two of them are a tie.

    Args:
        values: of any shape.
        resolution: the step of values near 1 in their dtype.
    """
    return resolution * float(np.abs(np.asarray(values)).max())


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _logits(reference: ArrayLike, arm: ArrayLike) -> tuple[Floats, Floats]:
    one, other = _floats(reference), _floats(arm)
    if one.shape != other.shape or one.ndim != 2 or not one.size:
        raise ValueError(f"logits must be two arrays [N, V] of one shape, got {one.shape} and {other.shape}")
    if np.isnan(one).any() or np.isnan(other).any():
        raise ValueError("logits must not be NaN")
    return one, other


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _check_routing(one: NDArray[Any], other: NDArray[Any], logits: Floats) -> None:
    if one.shape != other.shape or one.ndim != 2 or logits.ndim != 2 or len(one) != len(logits):
        shapes = f"{one.shape}, {other.shape} and {logits.shape}"
        raise ValueError(f"ids must be two arrays [T, K] and logits [T, E], got {shapes}")
    if one.size and (min(one.min(), other.min()) < 0 or max(one.max(), other.max()) >= logits.shape[1]):
        raise ValueError(f"ids must be from 0 to {logits.shape[1] - 1}")


def _membership(ids: NDArray[Any], experts: int) -> Booleans:
    member = np.zeros((len(ids), experts), dtype=bool)
    np.put_along_axis(member, ids, values=True, axis=1)
    return member
