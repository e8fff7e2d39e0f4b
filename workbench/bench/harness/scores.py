"""What an arm scores on a suite, and whether that differs from what the baseline does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Standard errors of a difference beyond which it counts.
ERRORS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteScore:
    """An arm on a suite.

    Attributes:
        difference: from the baseline's accuracy on the same questions; None for the baseline.
        passes: whether the difference is within two of its standard errors; None for the baseline.
    """

    task: str
    arm: str
    questions: int
    accuracy: float
    standard_error: float
    difference: float | None = None
    difference_error: float | None = None
    passes: bool | None = None


def score_suites(answers: Mapping[str, Mapping[str, Sequence[float]]]) -> list[SuiteScore]:
    """Scores arms on suites.

    Args:
        answers: by arm, the baseline first, then by suite: 1 for each question that was answered rightly, else 0.
    """
    baseline = next(iter(answers.values()))
    return [
        _score(task, arm, right, None if of_arm is baseline else baseline[task])
        for arm, of_arm in answers.items()
        for task, right in of_arm.items()
    ]


def _score(task: str, arm: str, right: Sequence[float], baseline: Sequence[float] | None) -> SuiteScore:
    accuracy, error = _mean(right)
    if baseline is None:
        return SuiteScore(task=task, arm=arm, questions=len(right), accuracy=accuracy, standard_error=error)
    # Paired: the questions are the same, so what they are worth cancels.
    difference, apart = _mean([one - other for one, other in zip(right, baseline, strict=True)])
    return SuiteScore(
        task=task,
        arm=arm,
        questions=len(right),
        accuracy=accuracy,
        standard_error=error,
        difference=difference,
        difference_error=apart,
        passes=abs(difference) <= max(ERRORS * apart, ERRORS / len(right)),
    )


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, with n - 1; 0 for a single value."""
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / max(1, len(values) - 1) / len(values))
