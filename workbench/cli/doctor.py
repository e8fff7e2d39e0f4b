"""`workbench doctor`."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What this machine can do, and what is missing.

    Compiles a small kernel for GPUs that need not be here, runs it in Triton's
    interpreter and on the GPU at hand, and says which evidence a sweep here can
    produce: measured, modelled, or none (then the exit code is 1).

    Examples:
        workbench doctor
        workbench doctor --json
    """
    from workbench.report.checks import diagnose
    from workbench.report.doctor import doctor_record, doctor_table
    from workbench.report.table import print_json, print_table

    diagnosis = diagnose()
    if as_json:
        print_json(doctor_record(diagnosis))
    else:
        print_table(doctor_table(diagnosis))
    if not diagnosis.evidence:
        raise typer.Exit(1)
