"""Arms token by token: all read the same tokens, one decode step after the other, side by side.

Beside the arms runs the first of them under other configs. What those differ by is rounding, and is the floor that a
difference between arms is judged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.models.gemma4 import Gemma4ForCausalLM
from workbench.models.gemma4.arms import AS_IS, Variant, find_arm, running
from workbench.models.gemma4.routings import noted_routings
from workbench.models.quality import (
    Quality,
    expert_set_mismatch,
    kl_divergence,
    quality_of,
    rounding,
    top1_agreement,
)

MARGIN = 2.0
# Both ways through the experts, and other orders of summation than their defaults have.
_ON_GPU = (
    Variant("grouped", backend="grouped"),
    Variant("decode", backend="decode"),
    Variant("grouped, other blocks", backend="grouped", configs={"experts": {"BLOCK_SIZE_K": 32}}),
    Variant("decode, other blocks", backend="decode", configs={"experts_decode": {"BLOCK_SIZE_K": 64}}),
)


@dataclass(frozen=True, slots=True)
class ArmQuality:
    """An arm beside the baseline.

    Attributes:
        arm: its name, or for a floor the config's.
        passes: whether it is within the floor; None for what makes the floor.
    """

    arm: str
    quality: Quality
    passes: bool | None = None


@dataclass(slots=True)
class _Found:
    """What was found of an arm so far, step by step."""

    agreement: list[NDArray[np.bool_]] = field(default_factory=list)
    divergence: list[NDArray[np.float64]] = field(default_factory=list)
    mismatched: list[NDArray[np.bool_]] = field(default_factory=list)

    def quality(self) -> Quality:
        mismatched = np.concatenate(self.mismatched) if self.mismatched else None
        return quality_of(np.concatenate(self.agreement), np.concatenate(self.divergence), mismatched)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One step of one arm: logits [B, V], and each router's logits [B, E] and ids [B, K]."""

    logits: NDArray[np.float64]
    routed: list[tuple[NDArray[np.float64], NDArray[np.int64]]]


def other_configs(model: Gemma4ForCausalLM) -> tuple[Variant, ...]:
    """Other configs of an arm: on a GPU of its kernels; on a CPU, where none run, torch's loop over experts."""
    if model.device.type == "cpu":
        return (Variant("experts one by one", backend="torch"),)
    return _ON_GPU


def compare_arms(
    model: Gemma4ForCausalLM, arms: Sequence[str], ids: Tensor, *, margin: float = MARGIN
) -> tuple[list[ArmQuality], list[ArmQuality], Quality]:
    """Compares arms with the first of them.

    Args:
        model: whose weights all arms share.
        arms: names; the first is the baseline.
        ids: int64 [B, S], what all read; B tokens a step.
        margin: times the worst difference between configs is the floor.

    Returns:
        The arms, the configs that make the floor, and the floor.

    Raises:
        InputError: there is no such arm.
    """
    base, variants = arms[0], other_configs(model)
    # By position: an arm may be given twice, and a config may be called like an arm.
    sides = [(arm, AS_IS) for arm in arms] + [(base, variant) for variant in variants]
    found = _teacher_force(model, sides, ids)
    made = [
        ArmQuality(variant.name, each.quality())
        for variant, each in zip(variants, found[len(arms) - 1 :], strict=True)
    ]
    others = (each.quality for each in made[1:])
    floor = made[0].quality.floor(*others, margin=margin, resolution=torch.finfo(model.dtype).eps)
    qualities = [each.quality() for each in found[: len(arms) - 1]]
    judged = [
        ArmQuality(arm, each, each.within(floor)) for arm, each in zip(arms[1:], qualities, strict=True)
    ]
    return judged, made, floor


@torch.inference_mode()
def _teacher_force(
    model: Gemma4ForCausalLM, sides: Sequence[tuple[str, Variant]], ids: Tensor
) -> list[_Found]:
    """Steps all sides through the tokens, and compares each with the first."""
    batch, length = ids.shape
    caches = [model.new_cache(batch, length) for _ in sides]
    found = [_Found() for _ in sides[1:]]
    for column in range(length):
        seen = []
        for (arm, variant), cache in zip(sides, caches, strict=True):
            with running(model, find_arm(arm), variant), noted_routings(model) as routed:
                logits, _ = model.step(ids[:, column : column + 1], cache)
            cache.lengths += 1
            seen.append(
                _Seen(_array(logits[:, 0]), [(_array(scores), _array(ids)) for scores, ids in routed])
            )
        for each, other in zip(found, seen[1:], strict=True):
            _add(each, seen[0], other, model)
    return found


def _array(tensor: Tensor) -> NDArray[Any]:
    wide = tensor.double() if tensor.is_floating_point() else tensor.long()
    array: NDArray[Any] = wide.cpu().numpy()
    return array


def _add(found: _Found, one: _Seen, other: _Seen, model: Gemma4ForCausalLM) -> None:
    found.agreement.append(top1_agreement(one.logits, other.logits))
    found.divergence.append(kl_divergence(one.logits, other.logits))
    for (scores, ids), (_, others) in zip(one.routed, other.routed, strict=True):
        tie = rounding(scores, torch.finfo(model.dtype).eps)
        found.mismatched.append(expert_set_mismatch(ids, others, scores, tolerance=tie))
