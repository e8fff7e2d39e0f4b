"""Search strategies, one a file, behind a small ask/tell protocol.

A strategy is made for one problem from its legal configs, proposes each of them at most once, and is told what became
of every proposal, also of those that a journal already answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from moe_kernels.tunable import Config
from workbench.search.exhaustive import Exhaustive
from workbench.search.shuffled import Shuffled
from workbench.sweep.rows import Trial


class Strategy(Protocol):
    """Proposes configs of one problem."""

    def ask(self, count: int) -> Sequence[Config]:
        """Up to `count` configs not proposed before; fewer, or none, when there are no more."""
        ...

    def tell(self, trial: Trial) -> None:
        """Reports what became of a proposed config."""
        ...


STRATEGIES: Mapping[str, Callable[[Sequence[Config], int], Strategy]] = {
    "exhaustive": Exhaustive,
    "random": Shuffled,
}

__all__ = ["STRATEGIES", "Exhaustive", "Shuffled", "Strategy"]
