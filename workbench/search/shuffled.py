"""Configs in random order, without repeating: the baseline that any search has to beat."""

from __future__ import annotations

import random
from collections.abc import Sequence

from moe_kernels.tunable import Config
from workbench.search.exhaustive import Exhaustive


class Shuffled(Exhaustive):
    """Proposes every config once, in an order drawn from the seed.

    Args:
        configs: the legal configs of one problem.
        seed: of the order.
    """

    def __init__(self, configs: Sequence[Config], seed: int = 0) -> None:
        super().__init__(random.Random(seed).sample(list(configs), len(configs)))
