"""Classes of kernels: by name, else by what launched them, by the range around them, or by the run they stand in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from workbench.timeline.kernel_classes import CLASSES, KernelClass
from workbench.timeline.own_names import own_name
from workbench.timeline.patterns import shortened
from workbench.timeline.rules import Rule, Rules, SequenceRule, first_match
from workbench.timeline.trace import MEMCPY, MEMSET, NO_TIME, Int, Trace

# Classes that say how a kernel works rather than what for: what surrounds it may know better.
GENERIC: frozenset[KernelClass] = frozenset(
    {"gemm", "elementwise", "reduction", "sort", "copy", "activation", "other"}
)
AFTER_LAST = 2
_NUMBER = {name: number for number, name in enumerate(CLASSES)}
_IS_GENERIC = np.array([name in GENERIC for name in CLASSES])


def classify(trace: Trace, rules: Rules) -> Int:
    """The class of each piece of work, as index into `CLASSES`."""
    by_name = by_names(trace.names, rules.names)
    classes = by_name[trace.work.name]
    classes[(trace.work.kind == MEMCPY) | (trace.work.kind == MEMSET)] = _NUMBER["copy"]
    _refine_by_op(trace, rules, classes)
    _refine_by_annotation(trace, rules, classes)
    for sequence in rules.sequences:
        _refine_by_sequence(trace, sequence, classes)
    return classes


def by_names(names: Sequence[str], rules: Sequence[Rule]) -> Int:
    """The class of each name alone; `other` where no rule knows it."""
    return np.fromiter((_NUMBER[by_name(name, rules)[0]] for name in names), dtype=np.int64, count=len(names))


def by_name(name: str, rules: Sequence[Rule]) -> tuple[KernelClass, bool]:
    """The class of a name, and whether its function's own name says so.

    What a function is in and is instantiated with says less: an attention kernel takes a layout of the KV cache. It is
    asked where the function's own name is unknown, or says only how it works.
    """
    own = first_match(rules, shortened(own_name(name)))
    if own is not None and own not in GENERIC:
        return own, True
    whole = first_match(rules, shortened(name))
    return whole or "other", whole is None or whole == own


def weakly_named(names: Sequence[str], rules: Rules) -> frozenset[str]:
    """The names of which the function's own part does not tell the class."""
    return frozenset(name for name in names if not by_name(name, rules.names)[1])


def _refine_by_op(trace: Trace, rules: Rules, classes: Int) -> None:
    """An op knows what a generic kernel is for; a class that is itself generic only names the unknown."""
    if not trace.ops:
        return
    of_op = by_names(trace.ops, rules.ops)[np.maximum(trace.work.op, 0)]
    known = (trace.work.op >= 0) & (of_op != _NUMBER["other"])
    unknown = classes == _NUMBER["other"]
    better = known & np.where(_IS_GENERIC[of_op], unknown, _IS_GENERIC[classes])
    classes[better] = of_op[better]


def _refine_by_annotation(trace: Trace, rules: Rules, classes: Int) -> None:
    """Annotations come sorted by start, so that of nested ones the innermost has the last word."""
    generic = _IS_GENERIC[classes] & (trace.work.kind != MEMCPY)
    order = np.argsort(trace.work.launched, kind="stable")
    launched = trace.work.launched[order]
    for annotation in trace.annotations:
        kernel_class = first_match(rules.annotations, shortened(annotation.name))
        if kernel_class is None:
            continue
        times = trace.work.start if annotation.on_gpu else launched
        first = bisect_left(times, annotation.start)
        last = bisect_right(times, annotation.end - 1)
        inside = np.arange(first, last) if annotation.on_gpu else order[first:last]
        if annotation.on_gpu:
            inside = inside[trace.work.launched[inside] == NO_TIME]
        classes[inside[generic[inside]]] = _NUMBER[kernel_class]


def _refine_by_sequence(trace: Trace, rule: SequenceRule, classes: Int) -> None:
    part = _parts_of(rule, trace.names)[trace.work.name]
    before, past = (_is_among(names)[classes] for names in (rule.before, rule.past))
    generic = _IS_GENERIC[classes]
    needed = np.flatnonzero((part & _NEEDS > 0) & generic)
    for stream in np.unique(trace.work.stream[needed]):
        members = np.flatnonzero(trace.work.stream == stream)
        telling = np.flatnonzero(~past[members])
        for run in _generic_runs(generic[members]):
            place = np.searchsorted(telling, run.stop)
            if place < len(telling) and before[members[telling[place]]]:
                within = rule.within - (int(telling[place]) - run.stop)
                chosen = _chosen(part[members[run.start : run.stop]], within)
                classes[members[run.start : run.stop][chosen]] = _NUMBER[rule.kernel_class]


def _is_among(names: Collection[KernelClass]) -> np.ndarray:
    """For each class whether it is one of these."""
    return np.array([name in names for name in CLASSES])


_NEEDS, _MEMBER, _BETWEEN, _AFTER_LAST = 1, 2, 4, 8


def _parts_of(rule: SequenceRule, names: Sequence[str]) -> Int:
    """What each name can be in the sequence, as bits."""
    patterns = {
        _NEEDS: rule.needs,
        _MEMBER: rule.members,
        _BETWEEN: rule.between,
        _AFTER_LAST: rule.after_last,
    }
    short = [shortened(name) for name in names]
    bits = [sum(bit for bit, pattern in patterns.items() if pattern.search(name)) for name in short]
    return np.array(bits, dtype=np.int64)


def _generic_runs(generic: np.ndarray) -> Iterator[range]:
    """Longest runs of generic work."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], generic, [False])).astype(np.int8)))
    yield from (range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True))


def _chosen(part: Int, within: int) -> Int:
    """Positions, in a run, of the last stretch of members that holds what is needed; empty without one."""
    needed = np.flatnonzero(part & _NEEDS)
    empty = np.zeros(0, dtype=np.int64)
    if not len(needed):
        return empty
    first = last = int(needed[-1])
    while first > 0 and part[first - 1] & (_MEMBER | _BETWEEN):
        first -= 1
    while last + 1 < len(part) and part[last + 1] & (_MEMBER | _BETWEEN):
        last += 1
    members = np.flatnonzero(part[first : last + 1] & _MEMBER) + first
    first, last = int(members[0]), int(members[-1])
    for _ in range(AFTER_LAST):
        last += bool(last + 1 < len(part) and part[last + 1] & _AFTER_LAST)
    return np.arange(first, last + 1) if len(part) - last <= within else empty
