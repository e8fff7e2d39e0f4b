"""Every config, in the order of the sweep file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from moe_kernels.tunable import Config
from workbench.sweep.rows import Trial


class Exhaustive:
    """Proposes every config once, in the order given.

    Args:
        configs: the legal configs of one problem.
        seed: not used; the order is fixed.
    """

    def __init__(self, configs: Sequence[Config], seed: int = 0) -> None:
        self._left: Iterator[Config] = iter(configs)

    def ask(self, count: int) -> Sequence[Config]:
        """The next `count` configs."""
        return list(islice(self._left, count))

    def tell(self, trial: Trial) -> None:
        """Takes note of nothing: the order does not depend on results."""
