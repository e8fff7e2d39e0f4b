"""What a sweep would do: the dry run's table."""

from __future__ import annotations

from typing import Any

from workbench.report.evidence import EVIDENCE
from workbench.report.table import Column, Table
from workbench.sweep.plan import SweepPlan
from workbench.trials.journal import read_trials


def plan_record(plan: SweepPlan) -> dict[str, Any]:
    """What a sweep would do, for machines."""
    budget = plan.loaded.spec.search.trials
    tried = [min(budget, len(configs)) for configs in plan.space.configs]
    return {
        "run": plan.run_id,
        "kernel": plan.kernel.name,
        "device": plan.device.slug,
        "evidence": plan.evidence.value,
        "problems": len(plan.space.problems),
        "empty_problems": [dict(problem) for problem in plan.space.empty_problems],
        "configs": sum(len(configs) for configs in plan.space.configs),
        "trials": sum(tried),
        "known": sum(1 for _ in read_trials(plan.folder / "trials.jsonl")),
        "journal": str(plan.folder),
        "jobs": plan.jobs,
    }


def plan_table(plan: SweepPlan) -> Table:
    """What a sweep would do, for people."""
    record = plan_record(plan)
    empty = record.pop("empty_problems")
    rows = [(name, str(value)) for name, value in record.items()]
    rows[3] = ("evidence", f"{plan.evidence.value}: {EVIDENCE[plan.evidence].plan}")
    notes = (f"{len(empty)} problems have no config under the constraints",) if empty else ()
    return Table(f"Dry run of {plan.loaded.source.file}", (Column("what"), Column("")), tuple(rows), notes)
