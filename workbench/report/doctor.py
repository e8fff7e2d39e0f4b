"""What this machine can do and what is missing: the checks' outcomes, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.report.table import Column, Table
from workbench.trials.trial import Evidence

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        state: ok, warning (works with less) or missing.
        remedy: empty where nothing is to be done.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return self.state == "ok"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks, and the evidence that a sweep on this machine can produce."""

    checks: tuple[Check, ...]
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> str:
        """What kind of sweep this machine can run, in a sentence."""
        return VERDICTS[self.evidence]


VERDICTS: Mapping[tuple[Evidence, ...], str] = {
    (Evidence.MEASURED, Evidence.MODELLED): (
        "Sweeps for the GPU at hand are measured; for any other GPU they are modelled: compiled for it and "
        "ranked by a model, never timed."
    ),
    (
        Evidence.MEASURED,
    ): "Sweeps for the GPU at hand are measured; for any other GPU this machine can run none.",
    (Evidence.MODELLED,): (
        "Sweeps are modelled: compiled for a GPU that is not here and ranked by a model. Nothing is timed; "
        "take the shortlist to the GPU."
    ),
    (): "This machine can run no sweep, neither measured nor modelled; see what is missing above.",
}


def doctor_table(diagnosis: Diagnosis) -> Table:
    """A line for each check, what to do below."""
    return Table(
        title="What this machine can do",
        columns=(Column("check", style="bold"), Column("state"), Column("found")),
        rows=tuple((check.name, check.state, check.detail) for check in diagnosis.checks),
        notes=(
            *(f"{check.name}: {check.remedy}" for check in diagnosis.checks if check.remedy),
            f"Evidence: {', '.join(diagnosis.evidence) or 'none'}. {diagnosis.verdict}",
        ),
    )


def doctor_record(diagnosis: Diagnosis) -> Mapping[str, Any]:
    """The diagnosis for JSON."""
    return {"checks": diagnosis.checks, "evidence": diagnosis.evidence, "verdict": diagnosis.verdict}
