"""Search strategies, one a file, behind a small ask/tell protocol (see `strategy`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workbench.search.auto import Auto
from workbench.search.exhaustive import Exhaustive
from workbench.search.optuna_tpe import OptunaTPE
from workbench.search.ranked import Ranked
from workbench.search.shuffled import Shuffled
from workbench.search.strategy import Known, SearchTask, SeedGroup, SeedRow, Strategy

STRATEGIES: Mapping[str, Callable[[SearchTask], Strategy]] = {
    "exhaustive": Exhaustive,
    "random": Shuffled,
    "optuna": OptunaTPE,
    "auto": Auto,
    "ranked": Ranked,
}

__all__ = [
    "STRATEGIES",
    "Auto",
    "Exhaustive",
    "Known",
    "OptunaTPE",
    "Ranked",
    "SearchTask",
    "SeedGroup",
    "SeedRow",
    "Shuffled",
    "Strategy",
]
