"""The kinds of result that can be compared, by the schema that a file of them names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_kernels import tuned
from workbench.bench import rows
from workbench.compare import bench, profiles, traces, winners
from workbench.compare.entry import Entry, GateMetric
from workbench.timeline import record


@dataclass(frozen=True, slots=True)
class ResultKind:
    """A kind of result.

    Attributes:
        title: as errors and tables call it.
        metrics: all figures that such a result can have.
        arms: whether entries are of arms, which may be called differently on both sides.
        repeats: whether entries of one key are repeats of each other.
    """

    title: str
    read: Callable[[Path], Sequence[Entry]]
    metrics: tuple[GateMetric, ...]
    arms: bool = False
    repeats: bool = False


KINDS: Mapping[str, ResultKind] = {
    tuned.SCHEMA: ResultKind("winners", winners.read, winners.METRICS),
    rows.SCHEMA: ResultKind("bench rows", bench.read, bench.METRICS, arms=True, repeats=True),
    record.SUMMARY: ResultKind("trace summary", traces.read, traces.METRICS),
    record.PROFILE: ResultKind("profile", profiles.read, profiles.METRICS, arms=True),
}
