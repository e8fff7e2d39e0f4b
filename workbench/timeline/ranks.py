"""Which rank each process of a trace is: files of several ranks number their launches and ops alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.timeline.columns import codes
from workbench.timeline.launches import latest
from workbench.timeline.trace import Int


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of each process by its name; one that is not named is of rank 0.

    Attributes:
        of_work: of what stands as the process of GPU work, which is often the number of its device.
        of_calls: of processes of the host.
    """

    of_work: Mapping[str, int]
    of_calls: Mapping[str, int]


ONE_RANK = Ranks({}, {})
_LABELLED = re.compile(r"(.*[^\d\s])\s*-?\d+")


def find_ranks(
    work_processes: Sequence[str],
    correlation: Int,
    start: Int,
    call_processes: Sequence[str],
    call_correlation: Int,
    call_start: Int,
) -> Ranks:
    """Tells ranks apart.

    Tools that merge ranks label the processes of each (`[TP01] 7`): what stands before the number is the rank. Without
    labels, and with several processes that launch, work is of the process that launched most of it: the one whose
    launch of the same number comes before it.

    Args:
        work_processes: of each piece of work.
        correlation: of the work; negative where it has none.
        start: of the work, ns.
        call_processes: of each call that launches.
        call_correlation: of the calls.
        call_start: ns.
    """
    named = dict.fromkeys([*work_processes, *call_processes])
    labels = {name: found[1] for name in named if (found := _LABELLED.fullmatch(name))}
    if len({labels.get(name) for name in work_processes}) > 1:
        numbers, _ = codes(labels.get(name, "") for name in named)
        ranks = dict(zip(named, numbers.tolist(), strict=True))
        return Ranks(ranks, ranks)
    return _by_launches(work_processes, correlation, start, call_processes, call_correlation, call_start)


def _by_launches(
    work_processes: Sequence[str],
    correlation: Int,
    start: Int,
    call_processes: Sequence[str],
    call_correlation: Int,
    call_start: Int,
) -> Ranks:
    of_work, workers = codes(work_processes)
    of_call, callers = codes(call_processes)
    if len(callers) < 2 or len(workers) < 2:
        return ONE_RANK
    from scipy.optimize import linear_sum_assignment

    matched = np.zeros((len(workers), len(callers)), dtype=np.int64)
    for caller in range(len(callers)):
        keys, times = call_correlation[of_call == caller], call_start[of_call == caller]
        call = latest(correlation, start, keys, times)
        comes_before = (call >= 0) & (times[np.maximum(call, 0)] <= start)
        matched[:, caller] = np.bincount(of_work[comes_before], minlength=len(workers))
    of = matched.argmax(axis=1)
    if len(workers) == len(callers):
        # One GPU each, in the order in which they stand in the file where the counts don't tell.
        of[:] = linear_sum_assignment(matched, maximize=True)[1]
    return Ranks(
        of_work=dict(zip(workers, of.tolist(), strict=True)),
        of_calls={caller: rank for rank, caller in enumerate(callers)},
    )


def within_ranks(numbers: Int, ranks: Int) -> Int:
    """Ids that are distinct over ranks, of ids that are so within each; -1 stays what it is."""
    several = int(ranks.max(initial=0)) + 1
    return numbers if several == 1 else np.where(numbers < 0, -1, numbers * several + ranks)
