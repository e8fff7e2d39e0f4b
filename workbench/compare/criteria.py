"""What counts: `--fail-on METRIC>PERCENT%` and `--print-only METRIC` over the metrics of a kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from workbench.base.errors import InputError
from workbench.base.text import brief, suggestion
from workbench.compare.entry import GateMetric

# What `--fail-on` takes besides metrics: rows that B lacks, and figures that are too noisy to tell.
MISSING, UNRESOLVED = "missing", "unresolved"
_RULE = re.compile(r"\s*([A-Za-z0-9_]{1,64})\s*(?:>\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What counts.

    Attributes:
        limits: metrics that alone count, each with its limit, None for its own; empty where all count as they do.
        print_only: metrics that are shown and do not count.
        missing: whether rows that B lacks fail the gate.
        unresolved: whether a figure that is too noisy to tell fails it.
    """

    limits: Mapping[str, float | None] = field(default_factory=dict)
    print_only: frozenset[str] = frozenset()
    missing: bool = False
    unresolved: bool = False

    def of(self, metrics: Sequence[GateMetric]) -> tuple[GateMetric, ...]:
        """The metrics of a kind as they count here."""
        return tuple(map(self._counted, metrics))

    def _counted(self, metric: GateMetric) -> GateMetric:
        if metric.name in self.print_only:
            return replace(metric, counts=False, shown=True)
        if not self.limits:
            return metric
        if metric.name not in self.limits:
            return replace(metric, counts=False, shown=metric.shown or metric.counts)
        limit = self.limits[metric.name]
        limit = metric.limit if limit is None else limit
        return replace(metric, counts=True, same_source=False, instead_of=None, limit=limit)


def make_criteria(
    metrics: Sequence[GateMetric], fail_on: Sequence[str], print_only: Sequence[str]
) -> Criteria:
    """Reads what counts.

    Args:
        metrics: of all kinds at hand.
        fail_on: `METRIC` (with its own limit), `METRIC>PERCENT%` (worse by more than that), `missing` or
            `unresolved`; several with commas between them. Where metrics are named, those alone count.
        print_only: metrics that are shown and do not count.

    Raises:
        InputError: one has another form, or names no metric; says which there are.
    """
    by_name = {_normal(metric.name): metric for metric in metrics}
    limits = _limits(by_name, fail_on)
    asked = {word for word in (MISSING, UNRESOLVED) if word in limits}
    limits = {name: limit for name, limit in limits.items() if name not in asked}
    names = [part.strip() for text in print_only for part in text.split(",")]
    shown = frozenset(_find(by_name, name, "--print-only").name for name in names)
    if both := sorted(shown & limits.keys()):
        raise InputError(f"{both[0]} cannot both count and only be printed", key="--print-only")
    return Criteria(limits, shown, missing=MISSING in asked, unresolved=UNRESOLVED in asked)


def _limits(by_name: Mapping[tuple[str, ...], GateMetric], fail_on: Sequence[str]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for rule in (part for text in fail_on for part in text.split(",")):
        parts = _RULE.fullmatch(rule)
        if parts is None:
            raise InputError(
                f"must be METRIC, METRIC>PERCENT%, {MISSING} or {UNRESOLVED}, as in time_us>2%, "
                f"got {brief(rule, 60)!r}",
                key="--fail-on",
            )
        name, percent = parts.groups()
        if name in (MISSING, UNRESOLVED) and percent is None:
            found[name] = None
        else:
            limit = None if percent is None else float(percent) / 100
            found[_find(by_name, name, "--fail-on").name] = limit
    return found


def _find(by_name: Mapping[tuple[str, ...], GateMetric], name: str, key: str) -> GateMetric:
    if metric := by_name.get(_normal(name)):
        return metric
    names = [metric.name for metric in by_name.values()]
    hint = suggestion(name, names)
    raise InputError(f"no metric {brief(name, 60)!r}{hint}; allowed: {', '.join(names)}", key=key)


def _normal(name: str) -> tuple[str, ...]:
    """A name without the order of its parts: `tpot_ms_p50` is `tpot_p50_ms`."""
    return tuple(sorted(name.lower().split("_")))
