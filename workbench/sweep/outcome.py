"""What a sweep found, and who watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from moe_kernels.tunable import Problem
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.plan import SweepPlan
from workbench.sweep.publish import Published
from workbench.sweep.select import Winner
from workbench.trials.trial import Trial


@dataclass(frozen=True, slots=True)
class ProblemOutcome:
    """What a sweep found for one problem.

    Attributes:
        trials: all its trials, those of earlier processes of the run included.
        winner: None where no config is valid.
        legal: configs that the space holds for it.
    """

    problem: Problem
    trials: tuple[Trial, ...]
    winner: Winner | None
    published: Published | None
    legal: int


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """What a sweep found.

    Attributes:
        problems: in the order of the sweep file.
    """

    plan: SweepPlan
    problems: tuple[ProblemOutcome, ...]

    @property
    def empty(self) -> tuple[Problem, ...]:
        """The problems without a valid config."""
        return tuple(each.problem for each in self.problems if each.winner is None)


class Progress(Protocol):
    """Watches a run."""

    def note(self, text: str) -> None:
        """Something that a user should know."""
        ...

    def started(self, plan: SweepPlan, done: int, total: int) -> None:
        """A run begins, with so many of its trials known from earlier."""
        ...

    def trial(self, trial: Trial) -> None:
        """A trial is known."""
        ...

    def work(self, count: WorkCount) -> None:
        """Some work is done; called from any thread."""
        ...

    def problem(self, outcome: ProblemOutcome) -> None:
        """A problem is finished and its winner published."""
        ...
