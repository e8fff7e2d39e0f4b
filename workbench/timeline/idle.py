"""When nothing runs on a GPU, and whether it waits for the CPU to launch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.timeline.intervals import gaps, span
from workbench.timeline.trace import NO_TIME, Work

# A launch-bound stretch idles for a fifth of its span, and mostly for want of launches.
LAUNCH_BOUND_IDLE = 0.2
LAUNCH_BOUND_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Gaps:
    """The idle time of a trace.

    Attributes:
        count: stretches in which nothing runs on any stream.
        idle_share: of the span.
        waiting_us: of it until work that was launched only after the gap had begun: the GPU waited for the CPU.
        launch_bound: a fifth of the span or more is idle, and most of it waiting; None where the trace does not
            say when the work that ends the gaps was launched.
    """

    count: int
    idle_us: float
    idle_share: float
    longest_us: float
    median_us: float
    waiting_us: float
    launch_bound: bool | None


def find_gaps(work: Work) -> Gaps:
    """The idle time of work that is sorted by start."""
    first, last = gaps(work.start, work.end)
    length = last - first
    idle = int(length.sum())
    total = span(work.start, work.end)
    launched = work.launched[np.searchsorted(work.start, last)] if len(last) else last
    known = launched != NO_TIME
    waiting = int(length[known & (launched > first)].sum())
    knows = not idle or int(length[known].sum()) >= idle / 2
    share = idle / total if total else 0.0
    bound = share >= LAUNCH_BOUND_IDLE and waiting >= LAUNCH_BOUND_SHARE * idle
    return Gaps(
        count=len(length),
        idle_us=round(idle / 1000, 3),
        idle_share=share,
        longest_us=round(int(length.max()) / 1000, 3) if len(length) else 0.0,
        median_us=round(float(np.median(length)) / 1000, 3) if len(length) else 0.0,
        waiting_us=round(waiting / 1000, 3),
        launch_bound=bound if knows else None,
    )
