"""How tables and progress speak of each kind of evidence, so that nothing modelled or replayed looks measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.sweep.publish import NOT_TIMED, REPLAYED
from workbench.trials.trial import Evidence


@dataclass(frozen=True, slots=True)
class EvidenceWords:
    """Words for one kind of evidence.

    Attributes:
        mark: put before every figure.
        title: put beside the evidence in a table's title.
        plan: what a sweep of this kind is about to do.
    """

    mark: str
    title: str
    plan: str


EVIDENCE: Mapping[Evidence, EvidenceWords] = {
    Evidence.MEASURED: EvidenceWords("", "", "the GPU is at hand; configs are verified and timed on it"),
    Evidence.PROVISIONAL: EvidenceWords("~", ": not timed again yet", "the GPU is at hand"),
    Evidence.MODELLED: EvidenceWords(
        "~",
        f": {NOT_TIMED}",
        "that GPU is not at hand; configs are compiled for it and ranked, nothing is timed",
    ),
    Evidence.REPLAYED: EvidenceWords("~", f": {REPLAYED}", "times are read from a recording; nothing is run"),
}


def mark_of(evidence: Evidence) -> str:
    """What stands before a figure of this evidence."""
    return EVIDENCE[evidence].mark
