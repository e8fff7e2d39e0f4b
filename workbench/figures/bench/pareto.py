"""What a user gets against what a GPU gives: tokens/s/user and tokens/s/GPU of every arm and load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.bench.figures import Figure
from workbench.bench.metrics import METRICS
from workbench.figures.bench.arms import ArmComparison
from workbench.figures.heading import Heading

X, Y = METRICS["tokens_per_s_per_user"], METRICS["tokens_per_s_per_gpu"]


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """One arm at one concurrency.

    Attributes:
        user: tokens/s that a user sees.
        gpu: output tokens/s a GPU.
        optimal: True where no other point is better in both.
    """

    arm: str
    concurrency: float
    user: Figure
    gpu: Figure
    optimal: bool


@dataclass(frozen=True, slots=True)
class ParetoInfo:
    """What a picture of it shows.

    Attributes:
        points: by arm, then concurrency.
        arms: every arm, the baseline first.
    """

    points: tuple[ParetoPoint, ...]
    arms: tuple[str, ...]
    baseline: str
    heading: Heading


def collect_pareto(comparison: ArmComparison) -> ParetoInfo | None:
    """Finds the points and which of them are optimal; None where no row has both metrics."""
    found = [
        (arm.name, point.concurrency, point.figures[X.name], point.figures[Y.name])
        for arm in comparison.arms
        for point in arm.having(X.name)
        if Y.name in point.figures
    ]
    if not found:
        return None
    optimal = frontier([(user.value, gpu.value) for _, _, user, gpu in found])
    points = tuple(ParetoPoint(*each, index in optimal) for index, each in enumerate(found))
    notes = (
        "Ringed and joined: no other point is better in both. Numbers: their concurrency. User: 1000 / TPOT p50 in ms.",
        *comparison.notes(X.name),
    )
    arms = tuple(arm.name for arm in comparison.arms)
    return ParetoInfo(points, arms, comparison.baseline, Heading(_title(points), comparison.subtitle, notes))


def frontier(points: Sequence[tuple[float, float]]) -> frozenset[int]:
    """The places of the points that no other point equals in one coordinate and exceeds in the other, or in both."""
    best = float("-inf")
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1])):
        if points[place][1] > best or (found and points[found[-1]] == points[place]):
            found.append(place)
            best = points[place][1]
    return frozenset(found)


def _title(points: Sequence[ParetoPoint]) -> str:
    optimal = [point.arm for point in points if point.optimal]
    counts = [(optimal.count(arm), arm) for arm in dict.fromkeys(optimal)]
    told = ", ".join(f"{count} of {arm}" for count, arm in sorted(counts, key=lambda each: -each[0]))
    return f"Points on the Pareto frontier: {told}"
