"""`workbench lint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lint(
    path: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="A table, a folder of them, or an engine's wheel.")
    ],
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="vllm|sglang",
            help="Whose tables they are; otherwise by where they lie.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What is wrong in an engine's tables; exit code 1 where there is an error among it.

    An error is what an engine breaks on, cannot launch on that GPU, or never reads.
    A warning is read, but does what nobody wants: a sparse ladder, no row for 1 token.

    Examples:
        workbench lint ./tables
        workbench lint E=128,N=704,device_name=NVIDIA_B200.json --engine vllm
    """
    from workbench.integrations.engines import find_engine
    from workbench.integrations.lint import lint_tables
    from workbench.integrations.raw_tables import read_tables
    from workbench.report.engine_lint import lint_record, lint_report, lint_summary
    from workbench.report.table import print_json, print_table

    if engine is not None:
        find_engine(engine, "--engine")
    tables = read_tables(path)
    findings = lint_tables(tables, engine)
    if as_json:
        print_json(lint_record(findings, len(tables)))
    else:
        for table in lint_report(findings):
            print_table(table)
        print(lint_summary(findings, len(tables)))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)
