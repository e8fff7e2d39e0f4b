"""What changed between two traces: by class, then by kernel, also where several kernels became one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.base.errors import IncomparableError
from workbench.timeline.classify import GENERIC
from workbench.timeline.kernel_classes import CLASSES, KernelClass
from workbench.timeline.spread import Spread
from workbench.timeline.summary import ClassPerStep, KernelShare, Summary

SCHEMA = "workbench.trace-diff/1"
Change = Literal["same", "retuned", "replaced", "removed", "added"]
_NUMBERS = re.compile(r"\d+")
# What is left of `elementwise` on both sides is not the same work in another form; of `routing` it is.
_NAMED = frozenset(CLASSES) - GENERIC | {"gemm"}


@dataclass(frozen=True, slots=True)
class ClassChange:
    """One class in a step of A and of B.

    Attributes:
        launches: a step, median.
        launches_per_layer: None where the layers are unknown.
        share_busy: of the step's busy time.
        share_span: of the step's span.
        delta_us: B's median less A's.
        beyond_spread: whether the ranges over the steps are apart; None where A or B has a single step.
    """

    name: KernelClass
    launches: tuple[float, float]
    launches_per_layer: tuple[float | None, float | None]
    time_us: tuple[Spread, Spread]
    share_busy: tuple[float, float]
    share_span: tuple[float, float]
    delta_us: float
    beyond_spread: bool | None


@dataclass(frozen=True, slots=True)
class KernelChange:
    """Kernels of A and what stands in their place in B.

    Attributes:
        change: `same` name; `retuned`, names that differ in numbers only (tiles, ids); `replaced`, all kernels of the
            class that only A has by all that only B has; `removed` and `added`, where the other side has none.
        before: names in A.
        after: names in B.
        launches: a step, in A and B.
        launches_per_layer: None where the layers are unknown.
        time_us: a step, medians added.
        delta_us: B's less A's.
        beyond_spread: see `ClassChange`; None also where several kernels are on one side.
    """

    change: Change
    kernel_class: KernelClass
    before: tuple[str, ...]
    after: tuple[str, ...]
    launches: tuple[float, float]
    launches_per_layer: tuple[float | None, float | None]
    time_us: tuple[float, float]
    delta_us: float
    beyond_spread: bool | None


@dataclass(frozen=True, slots=True)
class Diff:
    """All that changed from trace A to trace B, per step.

    Attributes:
        layers: of a step; None where unknown.
        step_us: span of a step.
        kernels: launches a step.
        throughput_gain: steps per second gained, as a fraction; None where a step of B takes no time.
        beyond_spread: whether the ranges of the step's span are apart; None where A or B has a single step.
        classes: by descending size of the change.
        changes: of kernels, the same order.
        reliable: whether both traces are.
        notes: what limits the comparison.
    """

    files: tuple[str, str]
    layers: tuple[int | None, int | None]
    step_us: tuple[Spread, Spread]
    busy_us: tuple[Spread, Spread]
    kernels: tuple[float, float]
    throughput_gain: float | None
    beyond_spread: bool | None
    classes: tuple[ClassChange, ...]
    changes: tuple[KernelChange, ...]
    reliable: bool
    notes: tuple[str, ...]


def compare(a: Summary, b: Summary) -> Diff:
    """What changed from A to B.

    Raises:
        IncomparableError: one is of a GPU, the other of CPU ops.
    """
    if a.basis != b.basis:
        raise IncomparableError(
            f"{a.file} holds {a.basis} work, {b.file} {b.basis} work; their times do not compare"
        )
    layers = a.layers.count, b.layers.count
    before, after = a.per_step.span_us, b.per_step.span_us
    classes = [_class_change(name, a, b) for name in CLASSES if name in _classes(a) or name in _classes(b)]
    return Diff(
        files=(a.file, b.file),
        layers=layers,
        step_us=(before, after),
        busy_us=(a.per_step.busy_us, b.per_step.busy_us),
        kernels=(_launches(a.per_step.classes), _launches(b.per_step.classes)),
        throughput_gain=before.median / after.median - 1 if after.median else None,
        beyond_spread=_beyond(before, after),
        classes=tuple(sorted(classes, key=lambda each: -abs(each.delta_us))),
        changes=tuple(sorted(_kernel_changes(a, b), key=lambda each: -abs(each.delta_us))),
        reliable=a.reliable and b.reliable,
        notes=tuple(_notes(a, b)),
    )


def _classes(summary: Summary) -> Mapping[KernelClass, ClassPerStep]:
    return {each.name: each for each in summary.per_step.classes}


def _launches(classes: Iterable[ClassPerStep]) -> float:
    return sum(each.launches for each in classes)


def _beyond(before: Spread, after: Spread) -> bool | None:
    return before.apart(after) if before.count > 1 and after.count > 1 else None


def _class_change(name: KernelClass, a: Summary, b: Summary) -> ClassChange:
    sides = _in_class(name, a), _in_class(name, b)
    times = sides[0].time_us, sides[1].time_us
    return ClassChange(
        name=name,
        launches=(sides[0].launches, sides[1].launches),
        launches_per_layer=(sides[0].launches_per_layer, sides[1].launches_per_layer),
        time_us=times,
        share_busy=(sides[0].share_busy, sides[1].share_busy),
        share_span=(sides[0].share_span, sides[1].share_span),
        delta_us=round(times[1].median - times[0].median, 3),
        beyond_spread=_beyond(*times),
    )


def _in_class(name: KernelClass, summary: Summary) -> ClassPerStep:
    zero = Spread(0.0, 0.0, 0.0, summary.per_step.count)
    per_layer = 0.0 if summary.layers.count else None
    return _classes(summary).get(name) or ClassPerStep(name, 0.0, per_layer, zero, 0.0, 0.0, 0.0)


def _kernel_changes(a: Summary, b: Summary) -> Iterator[KernelChange]:
    """Matches by name, then by name without numbers, then all that is left of a class against all that is left."""
    left_a = {(each.kernel_class, each.name): each for each in _in_steps(a)}
    left_b = {(each.kernel_class, each.name): each for each in _in_steps(b)}
    layers = bool(a.layers.count), bool(b.layers.count)
    for key in [key for key in left_a if key in left_b]:
        yield _change("same", [left_a.pop(key)], [left_b.pop(key)], layers)
    bare_a, bare_b = _without_numbers(left_a.values()), _without_numbers(left_b.values())
    for bare in [bare for bare in bare_a if bare in bare_b]:
        yield _change("retuned", bare_a.pop(bare), bare_b.pop(bare), layers)
    for name in CLASSES:
        before, after = _of_class(name, bare_a), _of_class(name, bare_b)
        if before and after and name in _NAMED:
            yield _change("replaced", before, after, layers)
        else:
            yield from (_change("removed", [each], [], layers) for each in before)
            yield from (_change("added", [], [each], layers) for each in after)


def _in_steps(summary: Summary) -> Iterator[KernelShare]:
    return (each for each in summary.kernels if each.step_us.high > 0 or each.launches_per_step)


_Family = tuple[KernelClass, str]


def _without_numbers(kernels: Iterable[KernelShare]) -> dict[_Family, list[KernelShare]]:
    families: dict[_Family, list[KernelShare]] = defaultdict(list)
    for kernel in kernels:
        families[kernel.kernel_class, _NUMBERS.sub("#", kernel.name)].append(kernel)
    return dict(families)


def _of_class(name: KernelClass, families: Mapping[_Family, Sequence[KernelShare]]) -> list[KernelShare]:
    return [kernel for (of_class, _), kernels in families.items() if of_class == name for kernel in kernels]


def _change(
    change: Change, before: Sequence[KernelShare], after: Sequence[KernelShare], layers: tuple[bool, bool]
) -> KernelChange:
    times = _time(before), _time(after)
    single = len(before) == len(after) == 1
    return KernelChange(
        change=change,
        kernel_class=[*before, *after][0].kernel_class,
        before=tuple(each.name for each in before),
        after=tuple(each.name for each in after),
        launches=(
            _sum(each.launches_per_step for each in before),
            _sum(each.launches_per_step for each in after),
        ),
        launches_per_layer=(_per_layer(before, layers[0]), _per_layer(after, layers[1])),
        time_us=times,
        delta_us=round(times[1] - times[0], 3),
        beyond_spread=_beyond(before[0].step_us, after[0].step_us) if single else None,
    )


def _sum(values: Iterable[float]) -> float:
    return float(sum(values))


def _time(kernels: Sequence[KernelShare]) -> float:
    return round(_sum(each.step_us.median for each in kernels), 3)


def _per_layer(kernels: Sequence[KernelShare], known: bool) -> float | None:
    return _sum(each.launches_per_layer or 0.0 for each in kernels) if known else None


def _notes(a: Summary, b: Summary) -> Iterator[str]:
    if a.device_names != b.device_names:
        names = [", ".join(each.device_names) or "unknown" for each in (a, b)]
        yield f"the GPUs differ: {names[0]} and {names[1]}"
    if a.layers.count != b.layers.count:
        counts = ["unknown" if each.layers.count is None else str(each.layers.count) for each in (a, b)]
        yield f"the numbers of layers differ: {counts[0]} and {counts[1]}"
    for each in (a, b):
        yield from (f"{each.file}: {reason}" for reason in each.reasons)
    if min(a.per_step.count, b.per_step.count) < 2:
        yield "one trace holds a single step: there is no spread to judge the differences by"
