"""Which call launched which work, and during which CPU op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.timeline.trace import NO_TIME, GraphLaunches, Int


def find_launches(correlation: Int, start: Int, call_correlation: Int, call_start: Int) -> Int:
    """When each piece of work was launched.

    Processes number their launches independently, so in a file of several a correlation id can occur more
    than once: of the calls with the same id, work belongs to the last one before it starts, or to the first
    where the clocks of CPU and GPU disagree.

    Args:
        correlation: of the work; negative where it has none.
        start: of the work, ns.
        call_correlation: of the launching calls.
        call_start: ns.

    Returns:
        ns; NO_TIME where no call has the work's id.
    """
    launched = np.full(len(start), NO_TIME, dtype=np.int64)
    if not len(call_start):
        return launched
    order = np.lexsort((call_start, call_correlation))
    ids, times = call_correlation[order], call_start[order]
    first = np.searchsorted(ids, correlation, side="left")
    last = np.searchsorted(ids, correlation, side="right")
    found = (last > first) & (correlation >= 0)
    launched[found] = times[first[found]]
    for at in np.flatnonzero(found & (last - first > 1)):
        before = np.searchsorted(times[first[at] : last[at]], start[at], side="right")
        launched[at] = times[first[at] + max(int(before) - 1, 0)]
    return launched


def find_ops(
    external: Sequence[int], launched: Int, calls: Mapping[int, tuple[int, int, str]]
) -> tuple[Int, tuple[str, ...]]:
    """The CPU op behind each piece of work.

    Old traces reuse the launch's number as external id, so an op counts only where it was running at the launch.

    Args:
        external: external id of the work.
        launched: ns.
        calls: start, end (ns) and name of ops by external id.

    Returns:
        Index into the names for each piece of work, -1 without an op; the names.
    """
    ids: dict[str, int] = {}
    found = np.full(len(external), -1, dtype=np.int64)
    for at, (key, time) in enumerate(zip(external, launched.tolist(), strict=True)):
        call = calls.get(key) if key >= 0 else None
        if call and call[0] <= time <= call[1]:
            found[at] = ids.setdefault(call[2], len(ids))
    return found, tuple(ids)


def graph_launches(launches: Sequence[int], correlations: Int) -> GraphLaunches:
    """Graph launches, and those none of whose kernels is in the trace, by correlation id."""
    shown = set(correlations.tolist())
    return GraphLaunches(len(launches), sum(each not in shown for each in launches))
