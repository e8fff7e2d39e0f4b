"""Lengths of unions of intervals, and the gaps between them."""

from __future__ import annotations

import numpy as np

from workbench.timeline.trace import Int


def union(start: Int, end: Int) -> tuple[Int, Int]:
    """Merges intervals that overlap or touch.

    Args:
        start: sorted.
        end: `end >= start`.

    Returns:
        The starts and ends of the merged intervals.
    """
    if not len(start):
        return start, end
    reach = np.maximum.accumulate(end)
    opens = np.flatnonzero(np.concatenate(([True], start[1:] > reach[:-1])))
    return start[opens], reach[np.concatenate((opens[1:] - 1, [len(start) - 1]))]


def union_length(start: Int, end: Int) -> int:
    """The time that at least one of the intervals covers; `start` is sorted."""
    first, last = union(start, end)
    return int((last - first).sum())


def gaps(start: Int, end: Int) -> tuple[Int, Int]:
    """The gaps between merged intervals: where each begins and ends."""
    first, last = union(start, end)
    return last[:-1], first[1:]


def span(start: Int, end: Int) -> int:
    """From the first start to the last end."""
    return int(end.max() - start.min()) if len(start) else 0
