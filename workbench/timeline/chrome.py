"""Chrome traces: one process per arm on one clock, with t = 0 where each arm's first step begins."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workbench.base.errors import InputError
from workbench.base.files import write_whole
from workbench.timeline.analysis import Analysis
from workbench.timeline.columns import text
from workbench.timeline.decode import Details, RawEvent
from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.steps import Step
from workbench.timeline.trace import CPU_OP, KERNEL, MEMCPY, MEMSET

CATEGORY = {KERNEL: "kernel", MEMCPY: "gpu_memcpy", MEMSET: "gpu_memset", CPU_OP: "cpu_op"}
_DETAILS = {
    "grid": "grid",
    "block": "block",
    "registers": "registers per thread",
    "shared_memory": "shared memory",
    "bytes": "bytes",
}


@dataclass(frozen=True, slots=True)
class TimelineArm:
    """One of the traces that are shown together.

    Attributes:
        name: of its process or lanes.
        steps: those that are shown, in order; t = 0 is the start of the first.
    """

    name: str
    analysis: Analysis
    steps: tuple[Step, ...]

    @property
    def origin(self) -> int:
        """The start of the first step, ns on the trace's clock."""
        return int(self.analysis.trace.work.start[self.steps[0].members[0]])


def arm_of(name: str, analysis: Analysis, step: int | None = None) -> TimelineArm:
    """An arm with all steps of a trace, or with one of them, counted from 0.

    Raises:
        InputError: the trace has no such step.
    """
    name, steps = text(name), analysis.steps.steps
    if step is None:
        return TimelineArm(name, analysis, steps)
    if not 0 <= step < len(steps):
        raise InputError(
            f"there is no step {step}; steps 0 to {len(steps) - 1} are there",
            file=analysis.trace.file,
            key="--step",
        )
    return TimelineArm(name, analysis, (steps[step],))


def chrome_trace(arms: Sequence[TimelineArm]) -> Mapping[str, Any]:
    """The arms as one trace that Perfetto, chrome://tracing and this reader open."""
    events = [event for number, arm in enumerate(arms) for event in _events(number, arm)]
    return {"schemaVersion": 1, "displayTimeUnit": "ns", "traceEvents": events}


def write_trace(path: Path, trace: Mapping[str, Any]) -> None:
    """Writes a trace whole, packed where the name ends in `.gz`; the same trace gives the same bytes.

    Raises:
        InputError: it cannot be written.
    """
    content = msgspec.json.encode(trace)
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _events(process: int, arm: TimelineArm) -> Iterator[Mapping[str, Any]]:
    yield _metadata("process_name", process, 0, {"name": arm.name})
    yield _metadata("process_sort_index", process, 0, {"sort_index": process})
    trace = arm.analysis.trace
    shown = np.concatenate([step.members for step in arm.steps])
    for stream in np.unique(trace.work.stream[shown]).tolist():
        yield _metadata("thread_name", process, stream + 1, {"name": f"stream {trace.streams[stream]}"})
    yield _metadata("thread_name", process, 0, {"name": "steps"})
    for number, step in enumerate(arm.steps):
        yield _step_event(process, arm, number, step)
    for at in shown.tolist():
        yield _work_event(process, arm, at)


def _metadata(name: str, process: int, thread: int, args: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"ph": "M", "name": name, "pid": process, "tid": thread, "args": args}


def _step_event(process: int, arm: TimelineArm, number: int, step: Step) -> Mapping[str, Any]:
    work = arm.analysis.trace.work
    start = int(work.start[step.members[0]])
    return {
        "ph": "X",
        "cat": "gpu_user_annotation",
        "name": f"ProfilerStep#{number}",
        "pid": process,
        "tid": 0,
        "ts": (start - arm.origin) / 1000,
        # Ranges are half open, and the last kernel, which may last no time, belongs to the step.
        "dur": (int(work.end[step.members].max()) - start + 1) / 1000,
        "args": {"step": step.name},
    }


def _work_event(process: int, arm: TimelineArm, at: int) -> Mapping[str, Any]:
    trace, work = arm.analysis.trace, arm.analysis.trace.work
    start, end = int(work.start[at]), int(work.end[at])
    return {
        "ph": "X",
        "cat": CATEGORY[int(work.kind[at])],
        "name": trace.names[work.name[at]],
        "pid": process,
        "tid": int(work.stream[at]) + 1,
        "ts": (start - arm.origin) / 1000,
        "dur": (end - start) / 1000,
        "args": {
            "class": CLASSES[arm.analysis.classes[at]],
            "device": int(work.device[at]),
            "stream": trace.streams[work.stream[at]],
            **details_of(trace.raw[work.row[at]]),
        },
    }


def details_of(event: RawEvent) -> Mapping[str, Any]:
    """What the profiler says about a launch: grid, block, registers, shared memory, bytes, where it does."""
    args = event.args or Details()
    found = {label: getattr(args, name) for name, label in _DETAILS.items()}
    return {label: value for label, value in found.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 3 and all(isinstance(each, int) for each in value)
    return isinstance(value, int) and not isinstance(value, bool)
