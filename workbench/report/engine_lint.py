"""What is wrong in engines' tables: what `lint` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.integrations.lint.findings import SEVERITIES, Finding
from workbench.report.table import Column, Table

_COLUMNS = (Column("severity"), Column("rule"), Column("key"), Column("what"))


def lint_report(findings: Sequence[Finding]) -> tuple[Table, ...]:
    """A table of findings a file, the worst first within each; nothing where nothing was found.

    Args:
        findings: as `lint_tables` returns them.
    """
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        by_file.setdefault(str(finding.path), []).append(finding)
    return tuple(
        Table(path, _COLUMNS, tuple(map(_cells, _worst_first(each)))) for path, each in by_file.items()
    )


def lint_summary(findings: Sequence[Finding], tables: int) -> str:
    """How much was found, in one line."""
    counts = Counter(finding.severity for finding in findings)
    found = ", ".join(f"{counts[severity]} {severity}s" for severity in SEVERITIES)
    return f"{tables} tables: {found}"


def lint_record(findings: Sequence[Finding], tables: int) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "tables": tables,
        "counts": dict(Counter(finding.severity for finding in findings)),
        "findings": [
            {
                "severity": each.severity,
                "rule": each.rule,
                "file": str(each.path),
                "key": each.key or None,
                "message": each.message,
            }
            for each in findings
        ],
    }


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _cells(finding: Finding) -> tuple[str, ...]:
    return (finding.severity, finding.rule, finding.key, finding.message)
