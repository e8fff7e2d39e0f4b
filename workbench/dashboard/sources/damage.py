"""Damaged files: which, where in them, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Damage:
    """One place that could not be read.

    Attributes:
        line: in it, None where the file as a whole is meant.
        key: in it, dotted, None likewise.
    """

    file: str
    line: int | None
    key: str | None
    what: str


@dataclass(frozen=True, slots=True)
class Damages:
    """Collects damage while a folder is read."""

    found: list[Damage] = field(default_factory=list)

    def __call__(self, error: InputError) -> None:
        """Notes an error about a file."""
        self.found.append(Damage(str(error.file), error.line, error.key, error.message))
