"""What is saved of a trace's summary and of a profile: JSON that is written from these records and read into them.

Times are in microseconds, shares are fractions. A reader ignores keys that it does not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from workbench.base.files import read_bytes
from workbench.base.json import decode
from workbench.timeline.agreement import Agreement
from workbench.timeline.layers import Layers
from workbench.timeline.spread import Spread
from workbench.timeline.summary import ClassShare, KernelShare, PerStep, Stretch, Summary
from workbench.timeline.trace import Basis, GraphLaunches, KernelLaunches
from workbench.timeline.what_if import Forecast

SUMMARY = "workbench.trace-summary/1"
PROFILE = "workbench.profile/1"
MAX_BYTES = 1 << 30


class SummaryRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=SUMMARY):
    """The summary of a trace, as `trace summary --json` writes it: `Summary` with its total and its gaps in one level.

    Attributes:
        count: of gaps.
        what_if: only where a forecast was asked for.
    """

    file: str
    basis: Basis
    device_names: tuple[str, ...]
    reliable: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    kernel_count: int
    busy_us: float
    span_us: float
    classes: tuple[ClassShare, ...]
    count: int
    idle_us: float
    idle_share: float
    longest_us: float
    median_us: float
    waiting_us: float
    launch_bound: bool | None
    coverage: float
    graphs: GraphLaunches
    kernel_launches: KernelLaunches = KernelLaunches(0, 0)
    layers: Layers
    per_step: PerStep
    steps: tuple[Stretch, ...]
    devices: tuple[Stretch, ...]
    kernels: tuple[KernelShare, ...]
    what_if: Forecast | msgspec.UnsetType = msgspec.UNSET


class ThroughputGain(msgspec.Struct, frozen=True, kw_only=True):
    """An arm's steps per second against the first arm's, timed without a profiler.

    Attributes:
        reference: the first arm.
        throughput_gain: as a fraction.
        beyond_spread: whether the ranges over the rounds are apart.
    """

    arm: str
    reference: str
    throughput_gain: float
    beyond_spread: bool


class ArmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An arm of a profile.

    Attributes:
        trace: the name of its file, beside the summary.
        liveness: why it did not run what it claims; empty where it did.
        step_us: a step without a profiler; None where a gate failed.
        summary: of its trace.
    """

    description: str
    trace: str
    liveness: tuple[str, ...]
    step_us: Spread | None
    summary: SummaryRecord


class ProfileRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=PROFILE):
    """A profile, as `profile` writes it to `summary.json`.

    Attributes:
        failures: why no figure of it may be compared; empty where it `passed`.
        tuned_from: where the tuned arm's configs come from, by kernel; None where the default is taken.
        arms: by name, in the order asked for.
        correctness: of each arm but the first, against the first.
        speedups: likewise; None where a gate failed.
        diffs: likewise, as `trace diff --json` writes them; empty where a gate failed.
    """

    model: str
    depth: str
    batch: int
    context: int
    steps: int
    rounds: int
    graph: bool
    device: str
    seed: int
    basis: Basis
    device_names: tuple[str, ...]
    evidence: str
    weights: str
    passed: bool
    failures: tuple[str, ...]
    notes: tuple[str, ...]
    tuned_from: Mapping[str, str | None]
    arms: Mapping[str, ArmRecord]
    correctness: tuple[Agreement, ...]
    speedups: tuple[ThroughputGain, ...] | None
    diffs: tuple[Mapping[str, Any], ...]


def summary_record(summary: Summary, what_if: Forecast | None = None) -> SummaryRecord:
    """What is saved of a summary."""
    total = summary.total
    return SummaryRecord(
        file=summary.file,
        basis=summary.basis,
        device_names=summary.device_names,
        reliable=summary.reliable,
        reasons=summary.reasons,
        notes=summary.notes,
        kernel_count=total.kernel_count,
        busy_us=total.busy_us,
        span_us=total.span_us,
        classes=total.classes,
        **dataclasses.asdict(summary.gaps),
        coverage=summary.coverage,
        graphs=summary.graphs,
        kernel_launches=summary.kernel_launches,
        layers=summary.layers,
        per_step=summary.per_step,
        steps=summary.steps,
        devices=summary.devices,
        kernels=summary.kernels,
        what_if=what_if or msgspec.UNSET,
    )


def read_summary(path: Path) -> SummaryRecord:
    """Reads what `trace summary --json` wrote.

    Raises:
        InputError: it cannot be read, or is something else; names the key.
    """
    content = read_bytes(path, MAX_BYTES)
    return decode(content, SummaryRecord, path, otherwise="is not what `trace summary --json` writes")


def read_profile(path: Path, limit: int = MAX_BYTES) -> ProfileRecord:
    """Reads the `summary.json` of a profile.

    Args:
        path: of the file.
        limit: the most bytes that are read.

    Raises:
        InputError: it cannot be read, or is something else; names the key.
    """
    return decode(read_bytes(path, limit), ProfileRecord, path, otherwise="is not what `profile` writes")
