"""What a trace holds in figures: per class, kernel, step, layer and device, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from workbench.timeline.analysis import Analysis
from workbench.timeline.idle import Gaps, find_gaps
from workbench.timeline.intervals import span, union_length
from workbench.timeline.kernel_classes import CLASSES, KernelClass
from workbench.timeline.layers import Layers
from workbench.timeline.spread import Spread, spread_of
from workbench.timeline.steps import Step, Steps
from workbench.timeline.trace import KERNEL, Basis, GraphLaunches, Int, KernelLaunches, Work

FEW_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class of kernels in some stretch of a trace.

    Attributes:
        launches: of kernels, copies and fills.
        time_us: the sum of their durations.
        exclusive_us: of it the time in which nothing of another class runs: the most that is saved without it.
        share_busy: `time_us` of all devices' busy time; shares add up to more than 1 where streams overlap.
        share_span: `time_us` of the span, times the number of devices.
    """

    name: KernelClass
    launches: int
    time_us: float
    exclusive_us: float
    share_busy: float
    share_span: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a trace: all of it, a step, or a device.

    Attributes:
        name: of the step or device.
        start_us: of its first work, since the trace's first.
        kernel_count: events of category kernel.
        busy_us: the union over all streams of kernels, copies and fills.
        span_us: from the first start to the last end.
        classes: those that occur, by descending time.
    """

    name: str
    start_us: float
    kernel_count: int
    busy_us: float
    span_us: float
    classes: tuple[ClassShare, ...]


class KernelShare(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel by name, over the whole trace; the per-step figures are of the steps.

    Attributes:
        name: as in the trace.
        kernel_class: its class here; a kernel that has several by its context stands there once for each.
        time_us: the sum of its durations.
        share_busy: of the busy time of all devices.
        share_span: of the span.
        step_share_busy: of a step's busy time, median over the steps; None in a summary of an older version.
        step_share_span: of a step's span, likewise.
        launches_per_step: median over the steps.
        launches_per_layer: of a step; None where the layers are unknown.
        step_us: time a step.
    """

    name: str
    # Not `class`, which Python keeps for itself.
    kernel_class: KernelClass = msgspec.field(name="class")
    launches: int
    time_us: float
    share_busy: float
    share_span: float
    launches_per_step: float
    launches_per_layer: float | None
    step_us: Spread
    step_share_busy: float | None = None
    step_share_span: float | None = None


@dataclass(frozen=True, slots=True)
class ClassPerStep:
    """One class in a step, over all steps.

    Attributes:
        launches: a step, median.
        launches_per_layer: None where the layers are unknown.
        time_us: a step.
        exclusive_us: a step, median; see `ClassShare`.
        share_busy: of a step's busy time, median.
        share_span: of a step's span, median.
    """

    name: KernelClass
    launches: float
    launches_per_layer: float | None
    time_us: Spread
    exclusive_us: float
    share_busy: float
    share_span: float


@dataclass(frozen=True, slots=True)
class PerStep:
    """A step of the trace, median over its steps.

    Attributes:
        source: how the steps were found.
        span_us: from a step's first work to its last.
        period_us: from the start of one step to that of the next; None with fewer than two.
        classes: by descending time.
    """

    count: int
    source: str
    span_us: Spread
    busy_us: Spread
    period_us: Spread | None
    classes: tuple[ClassPerStep, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one trace.

    Attributes:
        device_names: of the GPUs, where the trace has them.
        total: the whole trace.
        coverage: the share of all work time whose class is known.
        devices: each device, where there are several.
        kernels: by descending time.
        reliable: whether the figures can be taken as they are.
        reasons: why they cannot.
    """

    file: str
    basis: Basis
    device_names: tuple[str, ...]
    total: Stretch
    gaps: Gaps
    coverage: float
    graphs: GraphLaunches
    kernel_launches: KernelLaunches
    layers: Layers
    per_step: PerStep
    steps: tuple[Stretch, ...]
    devices: tuple[Stretch, ...]
    kernels: tuple[KernelShare, ...]
    reliable: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def summarise(analysis: Analysis) -> Summary:
    """The figures of a trace."""
    trace, classes = analysis.trace, analysis.classes
    total = stretch("all", trace.work, classes)
    steps = tuple(_step(analysis, step) for step in analysis.steps.steps)
    gaps = find_gaps(trace.work)
    coverage = 1 - _time_of(total, "other") / max(sum(each.time_us for each in total.classes), 1e-9)
    launch_flaws = (*_graph_flaws(trace.graphs), *_kernel_flaws(trace.kernel_launches))
    reasons = (*trace.damage, *trace.flaws, *launch_flaws, *_other_flaws(coverage))
    return Summary(
        file=trace.file,
        basis=trace.basis,
        device_names=trace.device_names,
        total=total,
        gaps=gaps,
        coverage=coverage,
        graphs=trace.graphs,
        kernel_launches=trace.kernel_launches,
        layers=analysis.layers,
        per_step=_per_step(analysis, steps),
        steps=steps,
        devices=tuple(_devices(analysis)) if len(trace.devices) > 1 else (),
        kernels=_kernels(analysis),
        reliable=not reasons,
        reasons=reasons,
        notes=(*trace.notes, *_notes(analysis.steps)),
    )


def stretch(name: str, work: Work, classes: Int) -> Stretch:
    """The figures of some work, which is sorted by start."""
    busy, length = union_length(work.start, work.end), span(work.start, work.end)
    of_devices = device_time(work)
    shares = [_share(CLASSES[each], work, classes == each, *of_devices) for each in np.unique(classes)]
    return Stretch(
        name=name,
        start_us=microseconds(work.start[0]) if len(work) else 0.0,
        kernel_count=int((work.kind == KERNEL).sum()),
        busy_us=microseconds(busy),
        span_us=microseconds(length),
        classes=tuple(sorted(shares, key=lambda share: -share.time_us)),
    )


def device_time(work: Work) -> tuple[int, int]:
    """The busy time and the span of all devices together, ns: shares of these never exceed what there is."""
    devices = np.unique(work.device).tolist()
    if len(devices) < 2:
        return union_length(work.start, work.end), span(work.start, work.end)
    parts = [work.take(work.device == device) for device in devices]
    busy = sum(union_length(part.start, part.end) for part in parts)
    return busy, len(parts) * span(work.start, work.end)


def microseconds(nanoseconds: float) -> float:
    """Nanoseconds as microseconds, without digits that no clock measured."""
    return round(float(nanoseconds) / 1000, 3)


def _share(name: KernelClass, work: Work, which: np.ndarray, busy: int, length: int) -> ClassShare:
    time = int((work.end[which] - work.start[which]).sum())
    others = ~which
    return ClassShare(
        name=name,
        launches=int(which.sum()),
        time_us=microseconds(time),
        exclusive_us=microseconds(busy - union_length(work.start[others], work.end[others])),
        share_busy=ratio(time, busy),
        share_span=ratio(time, length),
    )


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0


def _time_of(part: Stretch, name: KernelClass) -> float:
    return next((each.time_us for each in part.classes if each.name == name), 0.0)


def _step(analysis: Analysis, step: Step) -> Stretch:
    return stretch(step.name, analysis.trace.work.take(step.members), analysis.classes[step.members])


def _devices(analysis: Analysis) -> Iterator[Stretch]:
    work = analysis.trace.work
    for number, label in enumerate(analysis.trace.devices):
        which = work.device == number
        yield stretch(label, work.take(which), analysis.classes[which])


def _per_step(analysis: Analysis, steps: Sequence[Stretch]) -> PerStep:
    starts = [step.start_us for step in steps]
    names = list(dict.fromkeys(share.name for step in steps for share in step.classes))
    shares = [_class_per_step(name, steps, analysis.layers.count) for name in names]
    return PerStep(
        count=len(steps),
        source=analysis.steps.source,
        span_us=spread_of([step.span_us for step in steps]),
        busy_us=spread_of([step.busy_us for step in steps]),
        period_us=spread_of(np.diff(starts).tolist()) if len(starts) > 1 else None,
        classes=tuple(sorted(shares, key=lambda share: -share.time_us.median)),
    )


def _class_per_step(name: KernelClass, steps: Sequence[Stretch], layers: int | None) -> ClassPerStep:
    absent = ClassShare(name, 0, 0.0, 0.0, 0.0, 0.0)
    found = [next((each for each in step.classes if each.name == name), absent) for step in steps]
    launches = float(np.median([each.launches for each in found]))
    return ClassPerStep(
        name=name,
        launches=launches,
        launches_per_layer=launches / layers if layers else None,
        time_us=spread_of([each.time_us for each in found]),
        exclusive_us=float(np.median([each.exclusive_us for each in found])),
        share_busy=float(np.median([each.share_busy for each in found])),
        share_span=float(np.median([each.share_span for each in found])),
    )


def _kernels(analysis: Analysis) -> tuple[KernelShare, ...]:
    """Kernels by name and class; counts and times of all steps in one pass each."""
    work, trace = analysis.trace.work, analysis.trace
    keys, key = np.unique(work.name * len(CLASSES) + analysis.classes, return_inverse=True)
    times = (work.end - work.start).astype(np.float64)
    launches = np.bincount(key, minlength=len(keys))
    time_us = np.bincount(key, times, minlength=len(keys)) / 1000
    members = [step.members for step in analysis.steps.steps]
    step_launches = np.array([np.bincount(key[each], minlength=len(keys)) for each in members])
    step_us = np.array([np.bincount(key[each], times[each], minlength=len(keys)) for each in members]) / 1000
    layers = analysis.layers.count
    per_step = np.median(step_launches, axis=0)
    busy, length = device_time(work)
    of_steps = np.array([device_time(work.take(each)) for each in members]).T / 1000
    step_shares = np.median(step_us / np.maximum(of_steps, 1e-9)[:, :, None], axis=1)
    return tuple(
        KernelShare(
            name=trace.names[keys[at] // len(CLASSES)],
            kernel_class=CLASSES[keys[at] % len(CLASSES)],
            launches=int(launches[at]),
            time_us=round(float(time_us[at]), 3),
            share_busy=ratio(1000 * float(time_us[at]), busy),
            share_span=ratio(1000 * float(time_us[at]), length),
            launches_per_step=float(per_step[at]),
            launches_per_layer=float(per_step[at]) / layers if layers else None,
            step_us=spread_of(step_us[:, at].tolist()),
            step_share_busy=float(step_shares[0, at]),
            step_share_span=float(step_shares[1, at]),
        )
        for at in np.argsort(-time_us, kind="stable")
    )


def _graph_flaws(graphs: GraphLaunches) -> Iterator[str]:
    if graphs.without_kernels:
        yield (
            f"{graphs.without_kernels:,} of {graphs.count:,} graph launches show no kernels: "
            "the work of these graphs is missing from every figure"
        )

    if graphs.incomplete:
        yield (
            f"{graphs.incomplete:,} of {graphs.count:,} graph launches show fewer kernels than other replays of "
            "their graph: the rest of their work is missing from every figure"
        )


def _kernel_flaws(launches: KernelLaunches) -> Iterator[str]:
    # At the ends of a capture a launch or two may lose its kernel.
    if launches.without_kernels > FEW_SHARE * launches.count:
        yield (
            f"{launches.without_kernels:,} of {launches.count:,} kernel launches show no kernel: "
            "their work is missing from every figure"
        )


def _other_flaws(coverage: float) -> Iterator[str]:
    if coverage < 0.9:
        yield f"{1 - coverage:.1%} of the time is of kernels that no rule knows (class other); --rules adds some"


def _notes(steps: Steps) -> Iterator[str]:
    if steps.unassigned:
        yield f"{steps.unassigned:,} pieces of work belong to no step"
    if steps.without_work:
        yield f"{steps.without_work:,} annotated steps show no work"
