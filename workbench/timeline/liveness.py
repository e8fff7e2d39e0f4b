"""Liveness: an arm that did not run the kernels it claims to run is not a small difference but a failure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench.base.errors import GateError
from workbench.timeline.patterns import shortened
from workbench.timeline.summary import Summary


@dataclass(frozen=True, slots=True)
class Liveness:
    """What an arm declares about the kernels of its timeline.

    Attributes:
        must: patterns, searched in kernel names; each must be found.
        must_not: patterns of which none may be found.
        least_launches: how often, a step, the kernels of a `must` pattern must run at least (by pattern; else once).
    """

    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    least_launches: Mapping[str, int] = field(default_factory=dict)


def check_liveness(arm: str, declared: Liveness, summary: Summary) -> tuple[str, ...]:
    """What an arm claims and its timeline does not show, a line each; empty for an arm that is alive."""
    return (
        *_hidden(arm, summary),
        *(line for pattern in declared.must for line in _missing(arm, pattern, declared, summary)),
        *(line for pattern in declared.must_not for line in _unwanted(arm, pattern, summary)),
    )


def require_liveness(arms: Mapping[str, tuple[Liveness, Summary]]) -> None:
    """Checks all arms together.

    Raises:
        GateError: an arm is not alive; the message lists all failures.
    """
    failures = [
        line for arm, (declared, summary) in arms.items() for line in check_liveness(arm, declared, summary)
    ]
    if failures:
        raise GateError("liveness: " + "; ".join(failures))


def _hidden(arm: str, summary: Summary) -> Sequence[str]:
    missing = summary.graphs.without_kernels
    return (
        (f"arm {arm}: {missing} graph launches show no kernels, so nothing proves what ran",)
        if missing
        else ()
    )


def _missing(arm: str, pattern: str, declared: Liveness, summary: Summary) -> Sequence[str]:
    launches = _launches(pattern, summary)
    least = declared.least_launches.get(pattern, 1)
    if launches == 0:
        return (f"arm {arm}: no kernel matches {pattern!r}, which it must run",)
    if launches < least:
        return (f"arm {arm}: {pattern!r} runs {launches:g} times a step, at least {least} expected",)
    return ()


def _unwanted(arm: str, pattern: str, summary: Summary) -> Sequence[str]:
    matching = [each for each in summary.kernels if _matches(pattern, each.name)]
    if not matching:
        return ()
    launches = sum(each.launches for each in matching)
    return (
        f"arm {arm}: {shortened(matching[0].name)[:80]} matches {pattern!r}, "
        f"which it must not run ({launches} launches)",
    )


def _launches(pattern: str, summary: Summary) -> float:
    """Launches a step; what runs outside of the steps does not count for an arm."""
    return sum(each.launches_per_step for each in summary.kernels if _matches(pattern, each.name))


def _matches(pattern: str, name: str) -> bool:
    return re.search(pattern, shortened(name), re.IGNORECASE) is not None
