"""How figures and names of traces are written in tables."""

from __future__ import annotations

from workbench.base.text import brief
from workbench.timeline.spread import Spread

NAME_LENGTH = 76


def us(value: float) -> str:
    """Microseconds."""
    return f"{value:,.1f}" if abs(value) < 1e5 else f"{value:,.0f}"


def signed_us(value: float) -> str:
    """A difference in microseconds."""
    return f"{value:+,.1f}"


def percent(share: float) -> str:
    """A share."""
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


def spread(value: Spread) -> str:
    """A median, with its range where there is one."""
    return us(value.median) if value.count < 2 else f"{us(value.median)} ({us(value.low)} - {us(value.high)})"


def count(value: float | None) -> str:
    """How often, on average; nothing where that is unknown."""
    return "?" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def kernel_name(name: str, length: int = NAME_LENGTH) -> str:
    """A kernel's name as it fits a table; a name may hold anything."""
    return brief(name.removeprefix("void "), length)


def yes_no(value: bool | None) -> str:
    """A flag that may be unknown."""
    return "unknown" if value is None else "yes" if value else "no"
