"""What a comparison found: every figure with its verdict, the checks that failed, and what could not be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from workbench.compare.entry import Better

SCHEMA = "workbench.compare/1"

MOST_REPEATS = 100
# ((1.96 + 0.84) / 1.96)^2: with so many times the repeats that just suffice, four of five comparisons tell.
POWER = 2.04
# `same`: the whole interval lies within the limit. `unresolved`: it does not, and nothing is proven either.
Verdict: TypeAlias = Literal["regression", "improvement", "same", "unresolved", "no interval", "not timed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One figure of A and of B.

    Attributes:
        label: what it is of.
        metric: its name; the unit is its ending.
        a: None for a mean over rows, like `b`.
        change: B over A, less 1; None where A is 0.
        low: lower end of the interval of `change`, None where there is none.
        limit: by how much B may be worse, as a fraction.
        counts: whether a regression fails the gate.
        shown: whether a table shows it by itself.
    """

    label: str
    metric: str
    better: Better
    a: float | None
    b: float | None
    change: float | None
    low: float | None
    high: float | None
    limit: float
    counts: bool
    shown: bool
    verdict: Verdict

    @property
    def judged(self) -> bool:
        """Whether it could have failed the gate."""
        return self.counts and self.verdict not in ("no interval", "not timed")

    @property
    def more_repeats(self) -> float | None:
        """About how many times as many repeats of A and B would tell; None where it is told, or has no interval.

        An interval shrinks with the square root of the repeats. It has to leave out no change where B is beyond the
        limit, and to lie within the limit where it is not; `POWER` makes that likely and not just even odds.
        """
        if self.verdict != "unresolved" or self.change is None or self.low is None or self.high is None:
            return None
        if self.low <= -1.0 or math.isinf(self.high):
            return math.inf
        reach = (math.log1p(self.high) - math.log1p(self.low)) / 2
        log = abs(math.log1p(self.change))
        needed = log if abs(self.change) > self.limit else math.log1p(self.limit) - log
        return POWER * (reach / needed) ** 2 if needed > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that was found.

    Attributes:
        a: the path of A.
        b: the path of B.
        kinds: what was compared, in words.
        figures: regressions first.
        failures: checks that B failed, a line each.
        unfit: rows whose figures were not judged since A failed a check, with the check.
        missing: rows that B lacks.
        added: rows that A lacks.
        missing_fails: whether those that B lacks fail the gate.
        unresolved_fails: whether a figure that is too noisy to tell does.
        unjudged: metrics that were to be judged and were nowhere.
        notes: what limits the comparison.
    """

    a: str
    b: str
    kinds: tuple[str, ...]
    figures: tuple[Judged, ...]
    failures: tuple[str, ...]
    unfit: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    missing_fails: bool
    unresolved_fails: bool
    unjudged: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Judged, ...]:
        """Those that count."""
        return tuple(each for each in self.figures if each.counts and each.verdict == "regression")

    @property
    def improvements(self) -> tuple[Judged, ...]:
        """Those that count."""
        return tuple(each for each in self.figures if each.counts and each.verdict == "improvement")

    @property
    def judged(self) -> tuple[Judged, ...]:
        """The figures that could have failed the gate."""
        return tuple(each for each in self.figures if each.judged)

    @property
    def failed(self) -> bool:
        """Whether the gate failed: exit code 1."""
        missing, unresolved = self.missing_fails and self.missing, self.unresolved_fails and self.unresolved
        return bool(self.failures or self.regressions or missing or unresolved)

    @property
    def unresolved(self) -> tuple[Judged, ...]:
        """The figures that could have failed the gate, and are too noisy to tell whether they should."""
        return tuple(each for each in self.judged if each.verdict == "unresolved")

    @property
    def cannot_tell(self) -> bool:
        """Whether not one figure was resolved; of equal figures there is nothing to tell."""
        return (
            bool(self.judged) and self.unresolved == self.judged and any(each.change for each in self.judged)
        )

    @property
    def void(self) -> str | None:
        """Why the gate says nothing (exit code 2); None where it says something, or where nothing differs at all."""
        if self.failed:
            return None
        if self.cannot_tell:
            return f"cannot tell: {self.what_would_tell}"
        if not self.unjudged:
            return None
        return f"{', '.join(self.unjudged)}: differs, and could be judged nowhere; {self._why}"

    @property
    def what_would_tell(self) -> str:
        """How many more repeats would resolve the first of the figures that are too noisy."""
        nearest = min(self.unresolved, key=lambda each: each.more_repeats or math.inf)
        more = nearest.more_repeats or math.inf
        times = (
            f"about {math.ceil(more)} times as many"
            if more <= MOST_REPEATS
            else f"over {MOST_REPEATS} times as many"
        )
        count = len(self.unresolved)
        figures = (
            "the only figure is" if len(self.judged) == 1 else f"{count} of {len(self.judged)} figures are"
        )
        return f"{figures} too noisy under the limit; {times} repeats would tell {nearest.metric} of {nearest.label}"

    @property
    def _why(self) -> str:
        verdicts = {each.verdict for each in self.figures if each.metric in self.unjudged}
        if self.unfit:
            return f"A failed its own checks: {self.unfit[0]}"
        if verdicts == {"not timed"}:
            return "times that are modelled or replayed are no evidence"
        if "no interval" in verdicts:
            return "a figure without an interval proves nothing: repeat the runs"
        return "A and B do not both have it"
