"""What is odd in the events of a trace, so that its figures are not taken for more than they are."""

from __future__ import annotations

import numpy as np

from workbench.timeline.intervals import span, union_length
from workbench.timeline.trace import Basis, Int, Work

# Programmatic dependent launch overlaps the tail of a kernel with the head of the next by a few percent.
OVERLAP_SHARE = 0.05
IDLE_SHARE = 0.99
DAY_NS = 86_400 * 10**9


def find_flaws(work: Work, lengths: Int, without_time: int, basis: Basis) -> tuple[str, ...]:
    """Why the figures of this work need care, a line each; empty for sound work.

    Args:
        work: sorted by start.
        lengths: durations as in the file, ns.
        without_time: events that were left out since they have no valid time.
        basis: what the work is.
    """
    found = [
        f"{without_time:,} events without a valid time are left out" if without_time else "",
        _counted(int((lengths < 0).sum()), "have a negative duration and count as 0 us"),
        _counted(int((lengths == 0).sum()), "have a duration of 0 us"),
        _overlap(work),
        _spread(work),
        "the times are of CPU ops, not of a GPU" if basis == "cpu" else "",
    ]
    return tuple(each for each in found if each)


def _counted(count: int, what: str) -> str:
    return f"{count:,} events {what}" if count else ""


def overlap_on_streams(work: Work) -> int:
    """The time, ns, that work of one stream overlaps other work of the same stream."""
    order = np.lexsort((work.start, work.stream))
    stream, start, end = work.stream[order], work.start[order], work.end[order]
    total = int((end - start).sum())
    edges = np.flatnonzero(np.diff(stream)) + 1
    parts = zip(np.split(start, edges), np.split(end, edges), strict=True)
    return total - sum(union_length(*part) for part in parts)


def _overlap(work: Work) -> str:
    overlap = overlap_on_streams(work)
    if overlap <= OVERLAP_SHARE * max(union_length(work.start, work.end), 1):
        return ""
    what = "times of classes add up to more than the busy time"
    return f"work of one stream overlaps by {overlap / 1000:,.1f} us: {what}"


def _spread(work: Work) -> str:
    length = span(work.start, work.end)
    idle = 1 - union_length(work.start, work.end) / length if length else 0.0
    if idle > IDLE_SHARE and len(work) > 1:
        return f"{idle:.2%} of the span is idle: work is missing, or separate captures stand in one file"
    return "the span is longer than a day" if length > DAY_NS else ""
