"""One thing that is wrong in an engine's table, and the table with what its rules need to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from workbench.integrations.engines import Engine, TableName
from workbench.integrations.raw_tables import RawTable

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        severity: `error`: an engine breaks on it, cannot launch it or never reads it; `warning`: it is read, but
            does what nobody wants; `note`: nothing is lost.
        key: the key in it, dotted; empty for the file as a whole.
        message: what is wrong and what it leads to.
    """

    severity: Severity
    rule: str
    path: PurePosixPath
    key: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTable:
    """A table with what its rules need to know.

    Attributes:
        engines: who may read it: the one it was found for, or both.
        up: of a `_down` table, the table of the first GEMM beside it.
    """

    raw: RawTable
    name: TableName
    engines: tuple[Engine, ...]
    up: RawTable | None

    def finding(self, severity: Severity, rule: str, message: str, key: str = "") -> Finding:
        """A finding in this table; a key may hold anything, and is shown in ASCII."""
        return Finding(severity, rule, self.raw.path, ascii(key[:80])[1:-1], message)
