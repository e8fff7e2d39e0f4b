"""What a sweep found, drawn as tables: winners, what failed and why, and the shortlist to take to the GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from moe_kernels.tunable import Config
from workbench.base.text import pairs
from workbench.report.evidence import EVIDENCE, mark_of
from workbench.report.sweep import (
    SHORTLISTED_A_PROBLEM,
    AlikeFailures,
    SweepReport,
    config_label,
    device_label,
    problem_label,
)
from workbench.report.table import Column, Table
from workbench.sweep.outcome import ProblemOutcome
from workbench.sweep.plan import SweepPlan
from workbench.trials.trial import Evidence, Status

SHORTLIST_ROWS = 12


def sweep_tables(report: SweepReport) -> Iterator[Table]:
    """The report as tables: winners, then failures and shortlist where there are any."""
    yield _winners_table(report)
    if report.failures:
        yield _failures_table(report.failures)
    if report.shortlist:
        yield _shortlist_table(report)


def _winners_table(report: SweepReport) -> Table:
    plan = report.outcome.plan
    mark, default = mark_of(plan.evidence), plan.kernel.default_config
    return Table(
        title=f"{plan.kernel.name} on {device_label(plan)} - {plan.evidence.value}{EVIDENCE[plan.evidence].title}",
        columns=(
            Column("problem"),
            Column("winner"),
            Column(f"{mark}us", "right"),
            Column(f"{mark}default us", "right"),
            *([Column(f"{mark}speed-up", "right")] if _tells_speedups(plan) else []),
            Column("valid/tried", "right"),
            Column("note"),
        ),
        rows=tuple(_winner_cells(each, plan, default, mark) for each in report.outcome.problems),
        notes=tuple(_notes(report)),
    )


def _tells_speedups(plan: SweepPlan) -> bool:
    """A model orders configs; its ratios are no figures to show."""
    return plan.evidence is not Evidence.MODELLED


def _winner_cells(outcome: ProblemOutcome, plan: SweepPlan, default: Config, mark: str) -> tuple[str, ...]:
    label, winner = problem_label(outcome.problem, plan), outcome.winner
    valid = sum(trial.status is Status.OK for trial in outcome.trials)
    tried = f"{valid}/{len(outcome.trials)}"
    if winner is None:
        return label, "none", "", "", *([""] if _tells_speedups(plan) else []), tried, "no valid config"
    speedup = winner.default_time_us and winner.default_time_us / winner.time_us
    kept = outcome.published and outcome.published.kept
    note = f"a {kept} row stands; left alone" if kept else ""
    return (
        label,
        config_label(winner.config, default),
        f"{mark}{winner.time_us:.2f}",
        f"{mark}{winner.default_time_us:.2f}" if winner.default_time_us else "invalid",
        *([f"{mark}{speedup:.2f}x" if speedup else ""] if _tells_speedups(plan) else []),
        tried,
        note or ("default kept" if winner.kept_default else ""),
    )


def _notes(report: SweepReport) -> Iterator[str]:
    plan = report.outcome.plan
    yield f"default: {pairs(plan.kernel.default_config)}"
    if plan.evidence is Evidence.MODELLED:
        yield (
            "Nothing was timed. Each config was compiled for this GPU, run in Triton's interpreter against the "
            "reference, and ranked by a model;"
        )
        yield "the ~times only order configs. Measured rows come from the same command on that GPU."
    if untried := [each for each in report.outcome.problems if len(each.trials) < each.legal]:
        yield f"The budget left configs untried on {len(untried)} problems; a larger --trials continues."
    if plan.family:
        files = dict.fromkeys(str(each.path) for each in plan.family.landscapes)
        yield f"The times are those of {', '.join(files)}; no lookup takes these rows."
    paths = sorted({str(each.published.path) for each in report.outcome.problems if each.published})
    yield f"Winners: {', '.join(paths) or 'none'}"
    yield f"Journal: {plan.folder}"
    if not plan.family:
        yield _loading_note(report)


def _loading_note(report: SweepReport) -> str:
    """Whether the model module would load what was just published, asked of the lookup itself."""
    plan = report.outcome.plan
    needs = [] if report.found_unaided else [f"WORKBENCH_RESULTS={plan.out}"]
    needs += ["WORKBENCH_EVIDENCE=modelled"] if plan.evidence is Evidence.MODELLED else []
    under = f" under {' '.join(needs)}" if needs else ""
    return f"The model module's lookup loads {report.loaded} of these {report.published} rows{under}."


def _failures_table(failures: Sequence[AlikeFailures]) -> Table:
    columns = (Column("status"), Column("trials", "right"), Column("first reason"))
    rows = tuple(
        (failure.status.value, str(failure.count), failure.reason) for failure in failures[:SHORTLIST_ROWS]
    )
    more = len(failures) - SHORTLIST_ROWS
    notes = (f"and {more} other reasons; all are in trials.jsonl",) if more > 0 else ()
    return Table("Not valid", columns, rows, notes)


def _shortlist_table(report: SweepReport) -> Table:
    plan, listed = report.outcome.plan, report.shortlist[:SHORTLIST_ROWS]
    names = list(plan.kernel.default_config)
    rows = tuple(
        (*(str(each.config[name]) for name in names), str(len(each.problems)), _shortened(each.problems))
        for each in listed
    )
    columns = (*map(Column, names), Column("problems", "right"), Column("where"))
    title = f"Shortlist to take to the GPU: among the {SHORTLISTED_A_PROBLEM} best of a problem"
    more = len(report.shortlist) - len(listed)
    return Table(title, columns, rows, (f"and {more} more configs",) if more > 0 else ())


def _shortened(problems: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(problems[:most])
    return f"{shown}, ..." if len(problems) > most else shown
