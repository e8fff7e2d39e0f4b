"""What is told of a finished sweep: what failed and why, what to take to the GPU, and whether the lookup finds it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moe_kernels.tunable import Config, Problem
from moe_kernels.tuned import explain, results_folders
from workbench.base.text import pairs
from workbench.replay import DEVICE
from workbench.sweep.outcome import ProblemOutcome, SweepOutcome
from workbench.sweep.plan import SweepPlan
from workbench.sweep.select import fastest
from workbench.trials.trial import Evidence, Status, Trial
from workbench.trials.winners import differing

SHORTLISTED_A_PROBLEM = 3


@dataclass(frozen=True, slots=True)
class Shortlisted:
    """A config that is among the best of some problems.

    Attributes:
        problems: where it is among the best, as labels.
    """

    config: Config
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlikeFailures:
    """Trials that ended the same way.

    Attributes:
        reason: of the first of them.
    """

    status: Status
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class SweepReport:
    """All that is told of one finished sweep.

    Attributes:
        failures: what did not work, most frequent first.
        shortlist: what to take to the GPU, where nothing was timed.
        loaded: rows that a lookup in the results folder returns, of those that were published.
        found_unaided: True where lookups from the current folder look in the results folder anyway.
    """

    outcome: SweepOutcome
    failures: tuple[AlikeFailures, ...]
    shortlist: tuple[Shortlisted, ...]
    loaded: int
    published: int
    found_unaided: bool


def sweep_report(outcome: SweepOutcome) -> SweepReport:
    """Collects what is told of a sweep, and asks the run-time lookup for every row that was published."""
    modelled = outcome.plan.evidence is Evidence.MODELLED
    published = [each for each in outcome.problems if each.published and not each.published.kept]
    out = outcome.plan.out.resolve()
    return SweepReport(
        outcome=outcome,
        failures=_failures(outcome),
        shortlist=_shortlist(outcome) if modelled else (),
        loaded=sum(_is_loaded(outcome.plan, each, out) for each in published if not outcome.plan.family),
        published=len(published),
        found_unaided=any(folder.path.resolve() == out for folder in results_folders()),
    )


def _failures(outcome: SweepOutcome) -> tuple[AlikeFailures, ...]:
    failed = [each for problem in outcome.problems for each in problem.trials if each.status is not Status.OK]
    kinds: dict[tuple[Status, str], list[Trial]] = defaultdict(list)
    for trial in failed:
        kinds[trial.status, trial.reason or ""].append(trial)
    rows = (AlikeFailures(status, len(trials), reason) for (status, reason), trials in kinds.items())
    return tuple(sorted(rows, key=lambda row: -row.count))


def _shortlist(outcome: SweepOutcome) -> tuple[Shortlisted, ...]:
    where: dict[str, list[str]] = defaultdict(list)
    for problem in outcome.problems:
        for trial in fastest(problem.trials, SHORTLISTED_A_PROBLEM):
            where[json.dumps(dict(trial.config))].append(problem_label(problem.problem, outcome.plan))
    ranked = sorted(where.items(), key=lambda item: -len(item[1]))
    return tuple(Shortlisted(json.loads(config), tuple(problems)) for config, problems in ranked)


def _is_loaded(plan: SweepPlan, outcome: ProblemOutcome, out: Path) -> bool:
    """Whether a lookup that admits modelled rows takes, from a results folder, the row that was published there."""
    assert outcome.winner is not None
    assert outcome.published is not None
    ladder = plan.kernel.ladder.name
    shared = {name: value for name, value in outcome.problem.items() if name != ladder}
    tokens = int(outcome.problem[ladder])
    found = explain(plan.kernel, shared, tokens, plan.device.slug, evidence="modelled", folders=[out])
    places = {file.path.resolve() for file in found.files if found.taken in file.rows}
    is_from_there = outcome.published.path.resolve() in places
    return is_from_there and dict(found.config) == dict(outcome.winner.config)


def problem_label(problem: Problem, plan: SweepPlan) -> str:
    """A problem in short, the axes that do not vary in this sweep left out: `T=8 dtype=bf16`."""
    varying = {name for name in problem if len({each[name] for each in plan.space.problems}) > 1}
    axes = [axis for axis in plan.kernel.axes if axis.name in varying or axis.ladder]
    axes.sort(key=lambda axis: not axis.ladder)
    gpu = [str(problem[DEVICE])] if DEVICE in varying else []
    return " ".join([*gpu, *(f"{axis.short}={problem[axis.name]}" for axis in axes)])


def device_label(plan: SweepPlan) -> str:
    """The GPU that a sweep is for, or the GPUs of a recorded family."""
    devices = (plan.device_of(problem).device_name for problem in plan.space.problems)
    return ", ".join(dict.fromkeys(devices))


def config_label(config: Config, default: Config) -> str:
    """A config in short: what differs from the default, or `default`."""
    return pairs(differing(config, default)) or "default"


def sweep_record(report: SweepReport) -> dict[str, Any]:
    """The report for machines."""
    outcome, plan = report.outcome, report.outcome.plan
    return {
        "schema": "workbench.sweep/1",
        "run": plan.run_id,
        "journal": str(plan.folder),
        "kernel": plan.kernel.name,
        "device": plan.device.slug,
        "evidence": plan.evidence.value,
        "timed": plan.evidence is Evidence.MEASURED,
        "problems": [_problem_record(each) for each in outcome.problems],
        "empty": [dict(problem) for problem in outcome.empty],
        "failures": [asdict(failure) for failure in report.failures],
        "shortlist": [asdict(each) for each in report.shortlist],
        "lookup": {"published": report.published, "loaded": report.loaded},
    }


def _problem_record(outcome: ProblemOutcome) -> Mapping[str, Any]:
    statuses = Counter(trial.status.value for trial in outcome.trials)
    winner = None if outcome.winner is None else asdict(outcome.winner)
    path = None if outcome.published is None else str(outcome.published.path)
    return {
        "problem": dict(outcome.problem),
        "legal": outcome.legal,
        "trials": statuses,
        "winner": winner,
        "file": path,
    }
