"""Where the steps of a trace begin and end."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.timeline.trace import NO_TIME, Annotation, Int, Mask, Trace

_PROFILER_STEP = re.compile(r"^ProfilerStep\s*#?\s*\d+$")
# vLLM: execute_context_1(8)_generation_0(0), execute_32_context...; SGLang: step[DECODE bs=4], run_batch.
_ENGINE_STEP = re.compile(
    r"^(execute_(context_)?\d|(decode|prefill|forward|engine|model)?_?step\b|step\[|run_batch|forward_batch)"
)
_COUNTER = re.compile(r"\d+")
# What holds less of the work's time is not what the program's time goes to, whatever repeats there.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        name: of its annotation; `all` where the trace is taken as one step.
        members: positions of its work, sorted by start.
    """

    name: str
    members: Int


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a trace.

    Attributes:
        steps: in order; those without work are left out.
        source: how they were found, in words.
        unassigned: pieces of work that belong to none.
        without_work: annotated steps on which the trace shows no work.
    """

    steps: tuple[Step, ...]
    source: str
    unassigned: int = 0
    without_work: int = 0


def find_steps(trace: Trace) -> Steps:
    """Steps by annotation, ProfilerStep first; without one that holds most of the work, the whole trace is one step.

    Work belongs to the step during which it was launched, since the GPU runs behind the CPU; work whose launch
    is not in the trace belongs to the step during which it starts, by the step's range on the GPU where it has one.
    """
    refused = []
    for described, choose in _CHOICES:
        chosen = choose(trace.annotations)
        steps = _cut(trace, chosen, described)
        if steps.steps and (share := _share_of_work(trace, steps)) >= MOST:
            return steps
        if steps.steps:
            refused.append(f"{described} hold only {share:.2%} of the work's time")
    everything = np.arange(len(trace.work), dtype=np.int64)
    why = "; ".join(refused) or "no annotation of steps"
    return Steps((Step("all", everything),), f"{why}: the whole trace is taken as one step")


def _share_of_work(trace: Trace, steps: Steps) -> float:
    """The share of the work's time that is the steps'."""
    lengths = trace.work.end - trace.work.start
    of_steps = sum(int(lengths[step.members].sum()) for step in steps.steps)
    return of_steps / total if (total := int(lengths.sum())) else 1.0


def _profiler_steps(annotations: Sequence[Annotation]) -> list[Annotation]:
    return [each for each in annotations if _PROFILER_STEP.match(each.name)]


def _engine_steps(annotations: Sequence[Annotation]) -> list[Annotation]:
    return _outermost([each for each in annotations if _ENGINE_STEP.match(each.name)])


def _repeated(annotations: Sequence[Annotation]) -> list[Annotation]:
    """The outermost annotations whose name, numbers aside, occurs most often without overlap."""
    families: dict[tuple[str, bool], list[Annotation]] = defaultdict(list)
    for each in _outermost(annotations):
        families[_COUNTER.sub("#", each.name), each.on_gpu].append(each)
    steps = [each for each in families.values() if len(each) > 1 and _are_apart(each)]
    return max(steps, key=lambda each: sum(one.end - one.start for one in each), default=[])


_CHOICES: tuple[tuple[str, Callable[[Sequence[Annotation]], list[Annotation]]], ...] = (
    ("ProfilerStep annotations", _profiler_steps),
    ("the engine's annotations of steps", _engine_steps),
    ("annotations that repeat", _repeated),
)


def _outermost(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Those that no earlier one of their lane encloses; they come sorted by start."""
    reach: dict[str, int] = {}
    found = []
    for each in annotations:
        if each.start >= reach.get(each.lane, NO_TIME):
            found.append(each)
            reach[each.lane] = each.end
    return found


def _are_apart(annotations: Sequence[Annotation]) -> bool:
    return all(before.end <= after.start for before, after in pairwise(annotations))


def _cut(trace: Trace, chosen: Sequence[Annotation], described: str) -> Steps:
    numbers: dict[tuple[str, int], int] = {}
    owner = np.full(len(trace.work), -1, dtype=np.int64)
    for rank in np.unique(trace.work.rank).tolist():
        # A process that names no steps goes by those of the others.
        own = [each for each in chosen if each.rank == rank] or chosen
        _cut_rank(trace, own, owner, numbers, trace.work.rank == rank)
    return _steps(owner, [name for name, _ in numbers], described)


def _cut_rank(
    trace: Trace, chosen: Sequence[Annotation], owner: Int, numbers: dict[tuple[str, int], int], which: Mask
) -> None:
    """Gives the work of one rank to its steps; steps of several ranks that are called alike are one."""
    on_cpu = _ranges([each for each in chosen if not each.on_gpu])
    on_gpu = _ranges([each for each in chosen if each.on_gpu])
    for key in (*on_cpu, *on_gpu):
        numbers.setdefault(key, len(numbers))
    launched = trace.work.launched
    if on_cpu:
        _own(owner, launched, on_cpu, numbers, which & (launched != NO_TIME))
    by_start = which & (launched == NO_TIME) if on_cpu else which
    if on_gpu or on_cpu:
        _own(owner, trace.work.start, on_gpu or on_cpu, numbers, by_start)


def _ranges(annotations: Sequence[Annotation]) -> Mapping[tuple[str, int], tuple[int, int]]:
    """Start and end by name and occurrence: a step that several streams or processes show is one step."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    ranges: dict[tuple[str, int], tuple[int, int]] = {}
    for each in annotations:
        key = each.name, seen[each.lane, each.name]
        seen[each.lane, each.name] += 1
        start, end = ranges.get(key, (each.start, each.end))
        ranges[key] = min(start, each.start), max(end, each.end)
    return ranges


def _own(
    owner: Int,
    times: Int,
    ranges: Mapping[tuple[str, int], tuple[int, int]],
    numbers: Mapping[tuple[str, int], int],
    which: Mask,
) -> None:
    """Gives each time, where `which` is set, the number of the latest range that has begun and holds it."""
    ordered = sorted(ranges, key=lambda key: ranges[key])
    starts = np.array([ranges[key][0] for key in ordered], dtype=np.int64)
    ends = np.array([ranges[key][1] for key in ordered], dtype=np.int64)
    of_range = np.array([numbers[key] for key in ordered], dtype=np.int64)
    last = np.searchsorted(starts, times, side="right") - 1
    inside = which & (last >= 0) & (times < ends[np.maximum(last, 0)])
    owner[inside] = of_range[last[inside]]


def _steps(owner: Int, names: Sequence[str], described: str) -> Steps:
    order = np.argsort(owner, kind="stable")
    edges = np.searchsorted(owner[order], np.arange(len(names) + 1))
    members = [order[first:last] for first, last in pairwise(edges)]
    steps = [Step(name, each) for name, each in zip(names, members, strict=True) if len(each)]
    steps.sort(key=lambda step: int(step.members[0]))
    return Steps(tuple(steps), described, int((owner < 0).sum()), len(names) - len(steps))
