"""Search strategies, one a file, behind a small ask/tell protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workbench.search.exhaustive import Exhaustive
from workbench.search.shuffled import Shuffled
from workbench.search.strategy import Known, SearchTask, SeedGroup, SeedRow, Strategy

STRATEGIES: Mapping[str, Callable[[SearchTask], Strategy]] = {
    "exhaustive": Exhaustive,
    "random": Shuffled,
}

__all__ = ["STRATEGIES", "Exhaustive", "Known", "SearchTask", "SeedGroup", "SeedRow", "Shuffled", "Strategy"]
