"""What is compared: entries of a side, each with its key, what must agree, its figures and the checks it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from workbench.base.text import brief
from workbench.bench.comparable import LENGTHS_AGREE
from workbench.compare.log_estimates import LogEstimate

Fact: TypeAlias = str | float | None
# Half of the smallest regression that is to be found, 3 %: smaller ones pass, larger ones have room for noise.
LIMIT = 0.015
Better: TypeAlias = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateMetric:
    """A figure that can be judged.

    Attributes:
        name: its key; the unit is its ending.
        limit: by how much B may be worse, as a fraction, before it counts.
        counts: whether it fails the gate unless told otherwise; else it is only printed.
        shown: whether a table shows it although it does not count.
        control: a figure that was taken beside this one and that nothing under test changes: what it reads
            differently on both sides is noise.
        paired: a ratio of two figures of the same rounds: what drifts from run to run cancels in it.
        same_source: counts by itself only where both sides are of the same kernel source.
        instead_of: counts by itself only where this other figure has no interval.
    """

    name: str
    better: Better = "lower"
    limit: float = LIMIT
    counts: bool = False
    shown: bool = True
    control: str | None = None
    paired: bool = False
    same_source: bool = False
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a side.

    Attributes:
        key: what it is of, name by name: entries of both sides with one key are compared.
        facts: what must be equal on both sides, numbers to 5 %.
        meanings: by metric, what it means where that is not always the same.
        timed: False where times are modelled or replayed: they are shown, never judged.
        failures: checks that it failed; its speed then counts for nothing.
        died: why it has no figures at all, where it has none; what died on both sides is no regression.
        lost: share of its requests that failed.
        source: hash of the kernel's source, where known.
        config: in words, where there is one.
        kernels: launches a step by name, where known.
        notes: what limits its figures.
    """

    key: Mapping[str, str]
    facts: Mapping[str, Fact]
    figures: Mapping[str, LogEstimate]
    meanings: Mapping[str, str] = field(default_factory=dict)
    timed: bool = True
    failures: tuple[str, ...] = ()
    died: str | None = None
    lost: float = 0.0
    source: str | None = None
    config: str | None = None
    kernels: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()


def differing(one: Entry, other: Entry) -> dict[str, tuple[str, str]]:
    """The facts in which two entries differ, each with both values."""
    names = dict.fromkeys((*one.facts, *other.facts))
    pairs = {name: (one.facts.get(name), other.facts.get(name)) for name in names}
    return {name: (_told(a), _told(b)) for name, (a, b) in pairs.items() if not _agree(a, b)}


def _agree(one: Fact, other: Fact) -> bool:
    """Lengths that were drawn, or of prompts that were tokenized once more, differ by a little between runs."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= LENGTHS_AGREE * max(one, other)
    return one == other


def _told(value: Fact) -> str:
    return "unknown" if value is None else brief(f"{value:g}" if isinstance(value, float) else value, 60)
