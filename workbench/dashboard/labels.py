"""How the page writes times, speed-ups, ages and names; what was not measured has `~` before it and says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.base.text import brief
from workbench.dashboard.blocks import Cell

LONGEST = 400
MEASURED = "measured"
MODELLED = "modelled"


def plain(value: object, length: int = LONGEST) -> str:
    """Text from a file as one line that can be shown: controls and reversed writing are spelt out."""
    return brief(str(value), length)


def device_label(slug: str) -> str:
    """A device's name as people write it."""
    return plain(slug.replace("_", " "), 120)


def about(evidence: str) -> str:
    """What stands before a figure that was not measured."""
    return "" if evidence == MEASURED else "~"


def time_us(value: float | None, evidence: str) -> str:
    """Microseconds without a unit."""
    if value is None:
        return "-"
    return f"{about(evidence)}{value:,.0f}" if value >= 1000 else f"{about(evidence)}{value:.3g}"


def times(speedup: float | None, evidence: str) -> str:
    """A speed-up; a modelled one is no figure to show."""
    return "-" if speedup is None or evidence == MODELLED else f"{about(evidence)}{speedup:.2f}x"


def moment(date: str) -> datetime | None:
    """A date as files have it, None where it is none."""
    try:
        found = datetime.fromisoformat(date)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def age(date: str, now: datetime) -> Cell:
    """How long ago, sorted by the time itself."""
    found = moment(date)
    if found is None:
        return Cell(plain(date, 30) or "unknown", None, "quiet")
    return Cell(told_age(max(now - found, timedelta())), (now - found).total_seconds(), hint=plain(date, 40))


def told_age(passed: timedelta) -> str:
    """A time span in its largest unit."""
    minutes = int(passed.total_seconds() // 60)
    for size, unit in ((1440, "d"), (60, "h"), (1, "min")):
        if minutes >= size:
            return f"{minutes // size} {unit}"
    return "now"


def pairs(mapping: Mapping[str, Any]) -> str:
    """`a=1 b=2`."""
    return plain(" ".join(f"{name}={value}" for name, value in mapping.items()))


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """`a, b and 4 more`."""
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
