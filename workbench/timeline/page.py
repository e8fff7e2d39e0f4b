"""What the timeline page draws: one step of each arm in columns, names and launch details as tables of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.timeline.analysis import Analysis
from workbench.timeline.chrome import TimelineArm, details_of
from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.layers import layer_spans
from workbench.timeline.trace import Int, Work

LONGEST_NAME = 400
_ABSENT = -1


class _Table:
    """Numbers distinct values in the order in which they come."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    @property
    def values(self) -> list[Any]:
        return list(self.numbers)


def typical_step(analysis: Analysis) -> int:
    """The step whose span is the median, or the lower of two."""
    work = analysis.trace.work
    spans = [int(work.end[step.members].max() - work.start[step.members[0]]) for step in analysis.steps.steps]
    order = sorted(range(len(spans)), key=lambda number: spans[number])
    return order[(len(order) - 1) // 2]


def timeline_record(arms: Sequence[TimelineArm]) -> Mapping[str, Any]:
    """The arms for the page: times in ns since each arm's step began.

    Args:
        arms: with one step each.
    """
    names, details = _Table(), _Table()
    return {
        "classes": CLASSES,
        "arms": [_arm(arm, names, details) for arm in arms],
        "names": names.values,
        "details": [dict(each) for each in details.values],
    }


def _arm(arm: TimelineArm, names: _Table, details: _Table) -> Mapping[str, Any]:
    trace, (step,) = arm.analysis.trace, arm.steps
    work, classes = trace.work.take(step.members), arm.analysis.classes[step.members]
    streams = np.unique(work.stream).tolist()
    layers = _layers(arm, classes)
    return {
        "name": arm.name,
        "step": step.name,
        "lanes": [_lane(arm, work, stream) for stream in streams],
        "layers": [list(each) for each in layers],
        "start": (work.start - arm.origin).tolist(),
        "length": (work.end - work.start).tolist(),
        "name_of": [names.number(trace.names[each][:LONGEST_NAME]) for each in work.name.tolist()],
        "class_of": classes.tolist(),
        "lane_of": [streams.index(each) for each in work.stream.tolist()],
        "layer_of": _layer_of(len(classes), layers),
        "detail_of": [details.number(_details(arm, row)) for row in work.row.tolist()],
    }


def _lane(arm: TimelineArm, work: Work, stream: int) -> str:
    trace = arm.analysis.trace
    if len(trace.devices) == 1:
        return f"stream {trace.streams[stream]}"
    device = int(work.device[np.flatnonzero(work.stream == stream)[0]])
    return f"GPU {trace.devices[device]} stream {trace.streams[stream]}"


def _layers(arm: TimelineArm, classes: Int) -> Sequence[tuple[int, int]]:
    """The layers of the step, or none where it does not show as many as the trace has."""
    layers = arm.analysis.layers
    if layers.anchor is None:
        return ()
    spans = layer_spans(classes, layers.anchor)
    return spans if len(spans) == layers.count else ()


def _layer_of(count: int, layers: Sequence[tuple[int, int]]) -> list[int]:
    owner = np.full(count, _ABSENT, dtype=np.int64)
    for number, (first, last) in enumerate(layers):
        owner[first:last] = number
    return owner.tolist()


def _details(arm: TimelineArm, row: int) -> tuple[tuple[str, Any], ...]:
    found = details_of(arm.analysis.trace.raw[row])
    return tuple(
        (label, tuple(value) if isinstance(value, list) else value) for label, value in found.items()
    )
