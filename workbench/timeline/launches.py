"""Which call launched which work, and during which CPU op."""

from __future__ import annotations

import numpy as np

from workbench.timeline.trace import NO_TIME, GraphLaunches, Int, KernelLaunches


def find_launches(correlation: Int, start: Int, call_correlation: Int, call_start: Int) -> Int:
    """When each piece of work was launched.

    Args:
        correlation: id of the work; negative where it has none.
        start: of the work, ns.
        call_correlation: of the launching calls.
        call_start: ns.

    Returns:
        ns; NO_TIME where no call has the work's id.
    """
    call = latest(correlation, start, call_correlation, call_start)
    return np.where(call >= 0, call_start[call], NO_TIME) if len(call_start) else np.full_like(start, NO_TIME)


def find_ops(external: Int, launched: Int, op_external: Int, op_start: Int, op_end: Int) -> Int:
    """The CPU op behind each piece of work, as index into the ops; -1 without one.

    Old traces reuse the launch's number as external id, so an op counts only where it was running at the launch.
    """
    op = latest(external, launched, op_external, op_start)
    if not len(op_start):
        return op
    running = (op >= 0) & (op_start[op] <= launched) & (launched <= op_end[op])
    return np.where(running, op, -1)


def latest(key: Int, time: Int, call_key: Int, call_time: Int) -> Int:
    """The call with the same key, as index; -1 without one or for a negative key.

    Processes number their launches and ops independently, so in a file of several an id can occur more than once:
    the last call before `time` is taken, or the first where the clocks of CPU and GPU disagree.
    """
    order = np.lexsort((call_time, call_key))
    keys, times = call_key[order], call_time[order]
    first, end = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
    found = (end > first) & (key >= 0)
    chosen = np.where(found, first, 0)
    for at in np.flatnonzero(found & (end - first > 1)):
        before = int(np.searchsorted(times[first[at] : end[at]], time[at], "right"))
        chosen[at] = first[at] + max(before - 1, 0)
    return np.where(found, order[chosen], -1) if len(order) else np.full_like(key, -1)


def graph_launches(launches: Int, correlations: Int, graphs: Int) -> GraphLaunches:
    """Graph launches, those none of whose kernels is in the trace, and those some of whose kernels are missing.

    Args:
        launches: their correlation ids.
        correlations: of the work.
        graphs: the graph that each piece of work is of; negative where the trace does not say.
    """
    missing = ~np.isin(launches, correlations)
    return GraphLaunches(len(launches), int(missing.sum()), _incomplete(correlations, graphs))


def _incomplete(correlations: Int, graphs: Int) -> int:
    """Replays that show fewer kernels than another replay of their graph."""
    of_replay = (correlations >= 0) & (graphs >= 0)
    pairs = np.stack([graphs[of_replay], correlations[of_replay]])
    replays, sizes = np.unique(pairs, axis=1, return_counts=True)
    _, graph = np.unique(replays[0], return_inverse=True)
    most = np.zeros(int(graph.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(most, graph, sizes)
    return int((sizes < most[graph]).sum())


def kernel_launches(launches: Int, correlations: Int) -> KernelLaunches:
    """Launches of single kernels, and those whose kernel is not in the trace, by correlation id."""
    return KernelLaunches(len(launches), int((~np.isin(launches, correlations)).sum()))
