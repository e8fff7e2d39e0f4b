"""What became of the trials: how many ended in which way, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.base.text import brief
from workbench.plots.save import Plot
from workbench.plots.style import Heading, Theme, frame, mark_rows
from workbench.trials.recorded_run import ProblemTrials, RecordedRun
from workbench.trials.trial import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_REASONS = 12
_NUMBERS = re.compile(r"(?<![A-Za-z_])\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class StatusCount:
    """Trials that ended the same way.

    Attributes:
        status: how.
        reason: why, of the first of them; reasons that differ in their numbers only are one. None where all is well.
        count: how many.
    """

    status: Status
    reason: str | None
    count: int


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """What the plot shows.

    Attributes:
        counts: `ok` first, then the most frequent; at most `MOST_REASONS` reasons.
        other: trials with reasons beyond those.
        heading: what stands around it.
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


def statuses_plot(info: StatusInfo) -> Plot:
    """The plot of what was collected: a bar a reason."""
    size = (9.5, 1.7 + 0.36 * max(len(_labels(info)), 3))
    return Plot("statuses", size, lambda figure, theme: draw_statuses(info, figure, theme))


def draw_statuses(info: StatusInfo, figure: Figure, theme: Theme) -> None:
    """Draws the counts, what failed in another colour and hatched."""
    frame(figure, info.heading, theme)
    axes = figure.subplots()
    labels = _labels(info)
    for place, (_, status, count) in enumerate(labels):
        valid = status is Status.OK
        axes.barh(
            place, count, height=0.6, color=theme.good if valid else theme.bad, hatch=None if valid else "///"
        )
        axes.text(count, place, f" {count:,}", va="center", size=8)
    mark_rows(axes, [label for label, _, _ in labels])
    axes.set_xlim(0, max(count for _, _, count in labels) * 1.12)
    axes.set_xlabel("trials (count)")


def _labels(info: StatusInfo) -> list[tuple[str, Status | None, int]]:
    rows: list[tuple[str, Status | None, int]] = [
        (
            f"{each.status}: {brief(each.reason, 62)}" if each.reason else str(each.status),
            each.status,
            each.count,
        )
        for each in info.counts
    ]
    return [*rows, ("other reasons", None, info.other)] if info.other else rows
