"""What is odd in the events of a trace, so that its figures are not taken for more than they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.timeline.intervals import span, union_length
from workbench.timeline.trace import Basis, Int, Work

# Programmatic dependent launch overlaps the tail of a kernel with the head of the next by a few percent.
OVERLAP_SHARE = 0.05
IDLE_SHARE = 0.99
DAY_NS = 86_400 * 10**9
MICROSECOND_NS = 1_000
# Clocks of devices and of copies agree to about so much.
CLOCK_NS = 2_000
# What can change the busy time by less is a note, not a flaw.
SMALL_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Oddities:
    """What reading found.

    Attributes:
        without_time: events that were left out since they have no valid time.
        far: events that were left out since they lie over a day from all others.
        outlasting: work that ends after later work of its own stream, so that its duration can't be right.
    """

    without_time: int = 0
    far: int = 0
    outlasting: int = 0


@dataclass(frozen=True, slots=True)
class Findings:
    """Flaws, for which no figure can be taken as it is, and notes, which change no figure by much."""

    flaws: tuple[str, ...]
    notes: tuple[str, ...]


def find_flaws(work: Work, lengths: Int, odd: Oddities, basis: Basis) -> Findings:
    """Why the figures of this work need care, a line each.

    Args:
        work: sorted by start.
        lengths: durations as in the file, ns.
        odd: what reading found.
        basis: what the work is.
    """
    busy, total = max(union_length(work.start, work.end), 1), len(work) + odd.without_time + odd.far
    negative, empty = lengths[lengths < 0], int((lengths == 0).sum())
    weighed = (
        (odd.without_time / total, f"{odd.without_time:,} events without a valid time are left out"),
        (odd.far / total, f"{odd.far:,} events over a day from all others are left out"),
        (-int(negative.sum()) / busy, f"{len(negative):,} events have a negative duration and count as 0 us"),
        (empty * _unseen(work) / busy, f"{empty:,} events have a duration of 0 us"),
    )
    found = [text for share, text in weighed if share > SMALL_SHARE]
    found += [
        f"work that lasts beyond the end of later work on its own stream ({odd.outlasting:,} of {len(work):,}): "
        "such a duration cannot be right"
        if odd.outlasting
        else "",
        _overlap(work),
        _spread(work),
        "the times are of CPU ops, not of a GPU" if basis == "cpu" else "",
    ]
    notes = tuple(text for share, text in weighed if 0 < share <= SMALL_SHARE)
    return Findings(tuple(each for each in found if each), notes)


def _unseen(work: Work) -> float:
    """What an event of no duration can have lasted, ns.

    A clock of whole microseconds shows none for what takes less; on a finer one the duration was lost, and can be that
    of any other event.
    """
    times = np.concatenate([work.start - work.start[0], work.end - work.start[0]])
    if not (times % MICROSECOND_NS).any():
        return MICROSECOND_NS
    lengths = (work.end - work.start)[work.end > work.start]
    return float(lengths.mean()) if len(lengths) else 1.0


def outlasting(work: Work, launch: Int) -> int:
    """The pieces of work that end after later work of their own stream has ended: a stream runs one after the other.

    Args:
        work: sorted by start.
        launch: correlation id of each; work of one launch, as of a graph's branches, may overlap. Negative: unknown.
    """
    order = np.lexsort((work.start, work.stream))
    stream, end, of = work.stream[order], work.end[order], launch[order]
    if len(end) < 2:
        return 0
    is_new = np.concatenate(([True], (np.diff(stream) != 0) | (np.diff(of) != 0) | (of[1:] < 0)))
    run = np.cumsum(is_new) - 1
    first_end = np.minimum.reduceat(end, np.flatnonzero(is_new))
    stream_of_run = stream[is_new]
    # The earliest end of all later runs of the stream, from the last run to the first.
    later = np.full(len(first_end), np.iinfo(np.int64).max)
    edges = [0, *(np.flatnonzero(np.diff(stream_of_run)) + 1).tolist(), len(first_end)]
    for first, last in pairwise(edges):
        later[first : last - 1] = np.minimum.accumulate(first_end[first + 1 : last][::-1])[::-1]
    return int((end - CLOCK_NS > later[run]).sum())


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
