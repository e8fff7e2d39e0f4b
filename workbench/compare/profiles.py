"""Profiles as entries: an arm each, timed without a profiler; with the checks that `profile` made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from workbench.compare.entry import Entry, GateMetric
from workbench.compare.log_estimates import LogEstimate
from workbench.compare.traces import METRICS as TRACE_METRICS
from workbench.compare.traces import entry_of, of_spread
from workbench.timeline.record import ArmRecord, ProfileRecord, read_profile

METRICS = (
    GateMetric(name="step_us", counts=True),
    # Steps under the profiler are slower, above all eager ones.
    GateMetric(name="profiled_step_us", shown=False),
    *(GateMetric(name=each.name, shown=each.shown) for each in TRACE_METRICS if each.name != "step_us"),
)


def read(path: Path) -> tuple[Entry, ...]:
    """The arms of a profile.

    Raises:
        InputError: it is no such file.
    """
    profile = read_profile(path)
    return tuple(_entry(profile, name, arm) for name, arm in profile.arms.items())


def _entry(profile: ProfileRecord, name: str, arm: ArmRecord) -> Entry:
    of_trace = entry_of(arm.summary, {"arm": name})
    facts = {each: str(getattr(profile, each)) for each in ("model", "depth", "batch", "context", "graph")}
    return Entry(
        key=of_trace.key,
        facts={**of_trace.facts, "kind": profile.device, **facts},
        figures=dict(_figures(arm, {} if of_trace.failures else of_trace.figures)),
        failures=tuple(_failures(profile, name)),
        kernels=of_trace.kernels,
        notes=(*of_trace.notes, *(f"the trace of arm {name} is {line}" for line in of_trace.failures)),
    )


def _figures(arm: ArmRecord, of_trace: Mapping[str, LogEstimate]) -> Iterator[tuple[str, LogEstimate]]:
    if arm.step_us is not None:
        yield "step_us", of_spread(arm.step_us)
    if of_trace:
        yield "profiled_step_us", of_trace["step_us"]
    yield from ((name, estimate) for name, estimate in of_trace.items() if name != "step_us")


def _failures(profile: ProfileRecord, name: str) -> Iterator[str]:
    """Those that name the arm; the first arm takes those that name none."""
    first = next(iter(profile.arms))
    named = [line for line in profile.failures if f"arm {name}:" in line]
    nobodys = [line for line in profile.failures if not any(f"arm {arm}:" in line for arm in profile.arms)]
    yield from (*named, *(nobodys if name == first else ()))
    if not profile.passed and not profile.failures and name == first:
        yield "the profile did not pass"
