"""The kinds of result that can be compared, by the schema that a file of them names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from workbench.compare.entry import Entry, Metric

SUMMARY = "workbench.trace-summary/1"
# What a profiler itself writes names no schema of ours.
TRACE = "a torch.profiler trace"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of result.

    Attributes:
        title: as errors and tables call it.
        module: below this package: its `read(path)` gives the entries of a file, `METRICS` its figures.
        arms: whether entries are of arms, which may be called differently on both sides.
        repeats: whether entries of one key are repeats of each other.
    """

    title: str
    module: str
    arms: bool = False
    repeats: bool = False

    @property
    def read(self) -> Callable[[Path], Sequence[Entry]]:
        """Reads a file's entries."""
        return import_module(f"workbench.compare.{self.module}").read  # type: ignore[no-any-return]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All figures that such a result can have."""
        return import_module(f"workbench.compare.{self.module}").METRICS  # type: ignore[no-any-return]


KINDS: Mapping[str, Kind] = {
    "workbench.tuned/1": Kind("winners", "winners"),
    "workbench.bench/1": Kind("bench rows", "bench", arms=True, repeats=True),
    SUMMARY: Kind("trace summary", "traces"),
    "workbench.profile/1": Kind("profile", "profiles", arms=True),
}
