"""What stands around a picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands around a picture.

    Attributes:
        title: the finding.
        subtitle: of what: device, model, problem.
        notes: below the picture: n, spread, what marks mean.
    """

    title: str
    subtitle: str
    notes: tuple[str, ...] = ()
