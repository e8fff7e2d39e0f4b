"""What became of the trials: how many ended in which way, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.figures.heading import Heading
from workbench.trials.recorded_run import ProblemTrials, RecordedRun
from workbench.trials.trial import Status

MOST_REASONS = 12
_NUMBERS = re.compile(r"(?<![A-Za-z_])\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class StatusCount:
    """Trials that ended the same way.

    Attributes:
        reason: why, of the first of them; reasons that differ in their numbers only are one. None where all is well.
    """

    status: Status
    reason: str | None
    count: int


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """What a picture of it shows.

    Attributes:
        counts: `ok` first, then the most frequent; at most `MOST_REASONS` reasons.
        other: trials with reasons beyond those.
    """

    counts: tuple[StatusCount, ...]
    other: int
    heading: Heading


def collect_statuses(run: RecordedRun, problems: Sequence[ProblemTrials]) -> StatusInfo:
    """Counts trials by status and reason."""
    counts: Counter[tuple[Status, str]] = Counter()
    first: dict[tuple[Status, str], str | None] = {}
    for trial in (trial for problem in problems for trial in problem.trials):
        kind = (trial.status, _NUMBERS.sub("#", trial.reason or ""))
        counts[kind] += 1
        first.setdefault(kind, trial.reason)
    ranked = sorted(counts.items(), key=lambda item: (item[0][0] is not Status.OK, -item[1], item[0]))
    shown, others = ranked[: MOST_REASONS + 1], ranked[MOST_REASONS + 1 :]
    total, valid = sum(counts.values()), sum(n for (status, _), n in ranked if status is Status.OK)
    return StatusInfo(
        tuple(StatusCount(kind[0], first[kind], count) for kind, count in shown),
        sum(count for _, count in others),
        Heading(f"{valid} of {total} trials are valid", run.subtitle, (f"n = {total} trials.",)),
    )
