"""What a step would take if a class of kernels took more or less time (Amdahl's law)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.base.errors import InputError
from workbench.timeline.kernel_classes import CLASSES, KernelClass
from workbench.timeline.summary import PerStep, Summary

_FACTOR = re.compile(r"^([a-z_]+)=(\d*\.?\d+)x?$")
OPTION = "--what-if"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The step that follows from scaling classes; computed from the trace, not measured.

    Attributes:
        factors: what the time of each class is multiplied by.
        step_us: the step as traced, median span.
        share_before: of the scaled classes in the step's span.
        share_after: in that of the new step.
        throughput_gain: steps per second gained, as a fraction: 0.049 is 4.9 %.
        note: what limits the forecast; empty where nothing does.
    """

    factors: Mapping[KernelClass, float]
    step_us: float
    new_step_us: float
    share_before: float
    share_after: float
    throughput_gain: float
    note: str


def parse_factors(arguments: Sequence[str]) -> Mapping[KernelClass, float]:
    """Factors by class from arguments like `routing=0.25x`.

    Raises:
        InputError: an argument has another form, an unknown class, or names a class again.
    """
    factors: dict[KernelClass, float] = {}
    for argument in arguments:
        found = _FACTOR.match(argument)
        if not found:
            raise InputError(f"{argument!r} is no CLASS=FACTOR, for example routing=0.25x", key=OPTION)
        known = next((each for each in CLASSES if each == found[1]), None)
        if known is None:
            raise InputError(f"unknown class {found[1]!r}; classes: {', '.join(CLASSES)}", key=OPTION)
        if known in factors:
            raise InputError(f"{known} is there twice", key=OPTION)
        factors[known] = _finite(float(found[2]))
    return factors


def _finite(factor: float) -> float:
    if not math.isfinite(factor) or factor > 1000:
        raise InputError("a factor is at most 1000", key=OPTION)
    return factor


def forecast(summary: Summary, factors: Mapping[KernelClass, float]) -> Forecast:
    """The step with some classes scaled, all else equal.

    new = step - sum((1 - factor) * time), where `time` is what the class has to itself when it shrinks (what overlaps
    other work saves nothing) and all of its time when it grows. Gaps stay as they are.
    """
    step = summary.per_step.span_us.median
    before = {name: _time(summary.per_step, name, factor) for name, factor in factors.items()}
    after = {name: time * factors[name] for name, time in before.items()}
    new = step - sum(before.values()) + sum(after.values())
    return Forecast(
        factors=factors,
        step_us=step,
        new_step_us=round(new, 3),
        share_before=sum(before.values()) / step if step else 0.0,
        share_after=sum(after.values()) / new if new > 0 else 0.0,
        throughput_gain=step / new - 1 if new > 0 else math.inf,
        note=_note(summary, factors),
    )


def _time(step: PerStep, name: KernelClass, factor: float) -> float:
    found = next((each for each in step.classes if each.name == name), None)
    if found is None:
        return 0.0
    return found.exclusive_us if factor < 1 else found.time_us.median


def _note(summary: Summary, factors: Mapping[KernelClass, float]) -> str:
    present = {each.name for each in summary.per_step.classes}
    absent = [name for name in factors if name not in present]
    if absent:
        return f"the steps hold no {' and no '.join(absent)}"
    if summary.gaps.launch_bound:
        return "the GPU waits for launches: shorter kernels alone may not shorten the step"
    return "" if summary.reliable else "the trace is not reliable, nor is what follows from it"
