"""A trace's kernels and classes of kernels as pandas data frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.frames import Dtype, frame_of
from workbench.timeline.analysis import analyse_file
from workbench.timeline.rules import load_rules
from workbench.timeline.summary import ClassPerStep, ClassShare, KernelShare, Summary, summarise

if TYPE_CHECKING:
    from pandas import DataFrame

    from workbench.timeline.diff import Diff, KernelChange

_Class = tuple[ClassShare, ClassPerStep | None]

_KERNELS: Mapping[str, tuple[Dtype, Callable[[KernelShare], Any]]] = {
    "kernel": ("string", attrgetter("name")),
    "class": ("string", attrgetter("kernel_class")),
    "launches": ("Int64", attrgetter("launches")),
    "time_us": ("float64", attrgetter("time_us")),
    "share_busy": ("float64", attrgetter("share_busy")),
    "share_span": ("float64", attrgetter("share_span")),
    "launches_per_step": ("float64", attrgetter("launches_per_step")),
    "launches_per_layer": ("float64", attrgetter("launches_per_layer")),
    "step_us": ("float64", attrgetter("step_us.median")),
    "step_low_us": ("float64", attrgetter("step_us.low")),
    "step_high_us": ("float64", attrgetter("step_us.high")),
}


def _per_step(name: str) -> Callable[[_Class], Any]:
    get = attrgetter(name)
    return lambda each: None if each[1] is None else get(each[1])


_CLASSES: Mapping[str, tuple[Dtype, Callable[[_Class], Any]]] = {
    "class": ("string", lambda each: each[0].name),
    "launches": ("Int64", lambda each: each[0].launches),
    "time_us": ("float64", lambda each: each[0].time_us),
    "exclusive_us": ("float64", lambda each: each[0].exclusive_us),
    "share_busy": ("float64", lambda each: each[0].share_busy),
    "share_span": ("float64", lambda each: each[0].share_span),
    "launches_per_step": ("float64", _per_step("launches")),
    "launches_per_layer": ("float64", _per_step("launches_per_layer")),
    "step_us": ("float64", _per_step("time_us.median")),
    "step_low_us": ("float64", _per_step("time_us.low")),
    "step_high_us": ("float64", _per_step("time_us.high")),
    "step_exclusive_us": ("float64", _per_step("exclusive_us")),
    "step_share_busy": ("float64", _per_step("share_busy")),
    "step_share_span": ("float64", _per_step("share_span")),
}
_CHANGES: Mapping[str, tuple[Dtype, Callable[[KernelChange], Any]]] = {
    "change": ("string", attrgetter("change")),
    "class": ("string", attrgetter("kernel_class")),
    "before": ("string", lambda change: "\n".join(change.before) or None),
    "after": ("string", lambda change: "\n".join(change.after) or None),
    "launches_per_step_a": ("float64", lambda change: change.launches[0]),
    "launches_per_step_b": ("float64", lambda change: change.launches[1]),
    "launches_per_layer_a": ("float64", lambda change: change.launches_per_layer[0]),
    "launches_per_layer_b": ("float64", lambda change: change.launches_per_layer[1]),
    "step_a_us": ("float64", lambda change: change.time_us[0]),
    "step_b_us": ("float64", lambda change: change.time_us[1]),
    "delta_us": ("float64", attrgetter("delta_us")),
    "beyond_spread": ("boolean", attrgetter("beyond_spread")),
}


def kernels(trace: str | Path, *, rules: str | Path | None = None, cpu: bool = False) -> DataFrame:
    """The kernels of a torch.profiler trace: a row a kernel and class, by descending time.

    | column | dtype | |
    |---|---|---|
    | `kernel`, `class` | string | its name as in the trace, its class |
    | `launches` | Int64 | in the whole trace |
    | `time_us` | float64 | in the whole trace, the sum of its durations |
    | `share_busy`, `share_span` | float64 | of the trace's busy time and of its whole length, 0 to 1 |
    | `launches_per_step` | float64 | median over the steps |
    | `launches_per_layer` | float64 | of a step, missing where the layers are unknown |
    | `step_us`, `step_low_us`, `step_high_us` | float64 | time a step: median, least and most of the steps |
    | `basis` | string | `gpu`, or `cpu` where the times are of CPU ops |
    | `reliable` | boolean | the figures can be taken as they are; `trace summary` says why not |

    Args:
        trace: a `.json` or `.json.gz`.
        rules: a YAML file of rules that classify kernels, before the shipped ones.
        cpu: takes the CPU ops as the work, of a trace that was captured without a GPU.

    Raises:
        InputError: a file cannot be read, or the trace holds no work.
    """
    return kernels_frame(_summary(trace, rules, cpu))


def kernels_frame(summary: Summary) -> DataFrame:
    """The kernels of a trace as `kernels` describes them."""
    return _with_evidence(frame_of(summary.kernels, _KERNELS), summary)


def trace_classes(trace: str | Path, *, rules: str | Path | None = None, cpu: bool = False) -> DataFrame:
    """The classes of kernels of a torch.profiler trace: a row a class, by descending time.

    | column | dtype | |
    |---|---|---|
    | `class` | string | its name |
    | `launches` | Int64 | in the whole trace |
    | `time_us` | float64 | in the whole trace, the sum of the durations |
    | `exclusive_us` | float64 | of it the time in which nothing of another class runs |
    | `share_busy`, `share_span` | float64 | of the trace's busy time and of its whole length, 0 to 1 |
    | `launches_per_step` | float64 | median over the steps |
    | `launches_per_layer` | float64 | of a step, missing where the layers are unknown |
    | `step_us`, `step_low_us`, `step_high_us` | float64 | time a step: median, least and most of the steps |
    | `step_exclusive_us` | float64 | exclusive time a step, median |
    | `step_share_busy`, `step_share_span` | float64 | of a step's busy time and length, medians |
    | `basis` | string | `gpu`, or `cpu` where the times are of CPU ops |
    | `reliable` | boolean | the figures can be taken as they are; `trace summary` says why not |

    Args and errors are those of `kernels`.
    """
    summary = _summary(trace, rules, cpu)
    per_step = {each.name: each for each in summary.per_step.classes}
    classes = [(share, per_step.get(share.name)) for share in summary.total.classes]
    return _with_evidence(frame_of(classes, _CLASSES), summary)


def changes_frame(diff: Diff) -> DataFrame:
    """What changed from trace A to B: a row a change, the largest first; several kernels stand on a line each."""
    return frame_of(diff.changes, _CHANGES)


def _summary(trace: str | Path, rules: str | Path | None, cpu: bool) -> Summary:
    loaded = load_rules(Path(rules) if rules is not None else None)
    return summarise(analyse_file(Path(trace), loaded, cpu=cpu))


def _with_evidence(frame: DataFrame, summary: Summary) -> DataFrame:
    about = {"basis": summary.basis, "reliable": summary.reliable}
    return frame.assign(**about).astype({"basis": "string", "reliable": "boolean"})
