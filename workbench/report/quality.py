"""How far arms are apart, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from workbench.models.quality import Quality
from workbench.report.table import Column, Table

if TYPE_CHECKING:
    from workbench.bench.gemma4.compare import ArmQuality
    from workbench.bench.harness.scores import SuiteScore

_KL = (
    "KL: divergence of next-token distributions from the baseline's, nats. "
    "Other experts: share of tokens and layers that are routed otherwise, ties aside."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """What was compared.

    Attributes:
        title: model, device and text.
        baseline: what arms are compared with.
        configs: how far other configs of the baseline are from it.
        floor: what arms may differ by.
        margin: times the worst of `configs` is the floor.
    """

    title: str
    baseline: str
    arms: Sequence[ArmQuality]
    configs: Sequence[ArmQuality]
    floor: Quality
    margin: float
    suites: Sequence[SuiteScore] = ()
    notes: Sequence[str] = ()

    @property
    def failures(self) -> list[str]:
        """The arms that are beyond the floor, and the suites on which one differs."""
        beyond = [
            f"{each.arm} differs by more than configs of {self.baseline} do"
            for each in self.arms
            if not each.passes
        ]
        return beyond + [f"{each.arm} on {each.task}" for each in self.suites if each.passes is False]


def quality_tables(report: QualityReport) -> list[Table]:
    """The arms with what they are judged by, then the suites."""
    columns = (
        Column("compared with " + report.baseline),
        *(Column(name, "right") for name in ("tokens", "same top-1", "KL mean", "KL p99", "other experts")),
        Column("verdict"),
    )
    rows = [_row(each.arm, each.quality, _verdict(each.passes)) for each in report.arms]
    rows += [
        _row(f"{report.baseline}: {each.arm}", each.quality, "makes the floor") for each in report.configs
    ]
    rows.append(_row("floor", report.floor, f"{report.margin:g} x the worst config"))
    tables = [Table(report.title, columns, tuple(rows), (_KL, *report.notes))]
    return [*tables, _suite_table(report)] if report.suites else tables


def _row(name: str, quality: Quality, verdict: str) -> tuple[str, ...]:
    mismatch = "-" if quality.expert_mismatch is None else f"{quality.expert_mismatch:.4%}"
    values = (f"{quality.top1_agreement:.3%}", f"{quality.kl_mean:.3g}", f"{quality.kl_p99:.3g}", mismatch)
    return (name, str(quality.tokens), *values, verdict)


def _verdict(passes: bool | None) -> str:
    return {True: "within the floor", False: "BEYOND THE FLOOR", None: "-"}[passes]


def _suite_table(report: QualityReport) -> Table:
    columns = (
        Column("suite"),
        Column("arm"),
        *(Column(name, "right") for name in ("questions", "accuracy", "+-", "difference", "+-")),
        Column("verdict"),
    )
    rows = tuple(
        (
            each.task,
            each.arm,
            str(each.questions),
            f"{each.accuracy:.2%}",
            f"{each.standard_error:.2%}",
            "-" if each.difference is None else f"{each.difference:+.2%}",
            "-" if each.difference_error is None else f"{each.difference_error:.2%}",
            {True: "the same", False: "DIFFERENT", None: "baseline"}[each.passes],
        )
        for each in report.suites
    )
    note = "+-: one standard error; differences are over the same questions, and count beyond two of theirs."
    return Table("Multiple choice, by lm-evaluation-harness", columns, rows, (note,))


def quality_record(report: QualityReport) -> dict[str, Any]:
    """The report for machines."""
    return {**asdict(report), "failures": report.failures}
