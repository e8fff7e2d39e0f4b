"""What became of the trials of a run, and why some have no time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from workbench.dashboard import labels
from workbench.dashboard.blocks import Block, Cell, Panel, TableBlock, TableColumn, TableRow
from workbench.dashboard.definition import FailuresPanel
from workbench.dashboard.panels.common import NO_RUNS, choice_of_runs, runs_of
from workbench.dashboard.sources import Results, SweepRun
from workbench.figures.sweep.statuses import collect_statuses
from workbench.trials.trial import Status

_COLUMNS = (
    TableColumn("status", "status"),
    TableColumn("trials", "trials", "number"),
    TableColumn("share", "share", "share"),
    TableColumn("reason", "reason of the first; reasons that differ in numbers only are one", sortable=False),
)


def collect(results: Results, options: FailuresPanel) -> Panel:
    """A table a run."""
    title = options.title or "What failed, and why"
    runs = runs_of(results, options)
    if not runs:
        return Panel("failures", title, NO_RUNS, empty=True)
    choice = choice_of_runs("failures", runs, results, _blocks)
    return Panel("failures", title, finding(runs), (choice,))


def finding(runs: Sequence[SweepRun]) -> str:
    """What happened most often in the latest run."""
    latest = runs[0]
    trials = [trial for problem in latest.recorded.problems for trial in problem.trials]
    failed = Counter(trial.status for trial in trials if trial.status is not Status.OK)
    name = labels.plain(latest.id, 80)
    if not failed:
        return f"All {labels.count(len(trials), 'trial')} of the latest run, {name}, are valid."
    told = ", ".join(f"{count:,} {status.value.replace('_', ' ')}" for status, count in failed.most_common())
    of = f"{failed.total():,} of {labels.count(len(trials), 'trial')}"
    return f"{of} of the latest run, {name}, are not valid: {told}."


def _blocks(run: SweepRun) -> Sequence[Block]:
    info = collect_statuses(run.recorded, run.recorded.problems)
    total = sum(each.count for each in info.counts) + info.other
    rows = [_row(each.status.value, each.reason, each.count, total) for each in info.counts]
    if info.other:
        rows.append(_row("other", "other reasons", info.other, total))
    return (TableBlock("", info.heading.title, _COLUMNS, tuple(rows), total="reasons"),)


def _row(status: str, reason: str | None, count: int, total: int) -> TableRow:
    valid = status == Status.OK.value
    cells = (
        Cell(status.replace("_", " "), tone="good" if valid else "bad"),
        Cell(f"{count:,}", count),
        Cell(f"{count / total:.1%}", share=count / total, tone="good" if valid else "bad"),
        Cell(labels.plain(reason or "valid", 300), tone="quiet" if valid else ""),
    )
    return TableRow(cells)
