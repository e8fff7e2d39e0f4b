from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from moe_kernels.tunable import Parameter
from workbench.search import SearchTask
from workbench.trials.config_table import ConfigTable

PARAMETERS = (
    Parameter("block_m", 16),
    Parameter("block_n", 32),
    Parameter("num_warps", 4),
    Parameter("padded", 0, "binary"),
    Parameter("method", "direct", "categorical"),
)
LEVELS = {
    "block_m": (16, 32, 48, 64, 96, 128),
    "block_n": (16, 32, 64, 128, 256),
    "num_warps": (1, 2, 4, 8),
    "padded": (0, 1),
    "method": ("direct", "split", "fused"),
}


def legal(config):
    return config["block_m"] * config["block_n"] <= 8192 and (
        config["padded"] == 0 or config["num_warps"] > 1
    )


def make_table(levels=LEVELS, allowed=legal):
    configs = (dict(zip(levels, row, strict=True)) for row in product(*levels.values()))
    return ConfigTable.of(list(levels), [config for config in configs if allowed(config)])


def make_times(table, *, m=64, n=64, warps=4, method="split"):
    """Microseconds of a smooth landscape with one optimum; optima that are close make alike landscapes."""
    off = (np.log2(table.column("block_m")) - np.log2(m)) ** 2 + (
        np.log2(table.column("block_n")) - np.log2(n)
    ) ** 2
    area = np.log2(table.column("block_m") * table.column("block_n")) - np.log2(m * n)
    off = off + 0.5 * area**2 + 0.3 * np.abs(np.log2(table.column("num_warps")) - np.log2(warps))
    return 10 * np.exp(0.3 * off + 0.2 * (table.column("method") != method) + 0.03 * table.column("padded"))


def make_task(tables, *, priors=None, seeds=(), seed=0, budget=400, parameters=PARAMETERS):
    return SearchTask(
        parameters=parameters,
        problems=tuple({"num_tokens": 2**index, "dtype": "bf16"} for index in range(len(tables))),
        tables=tuple(tables),
        ladder="num_tokens",
        priors=tuple(priors or [None] * len(tables)),
        seeds=tuple(seeds),
        budget=budget,
        seed=seed,
    )


def drive(strategy, problem, times, budget, count=1, goal=0.0):
    """Rows in the order in which they were proposed, each told at once; None or NaN for a failure."""
    order = []
    while len(order) < budget and not any(times[row] is not None and times[row] <= goal for row in order):
        asked = strategy.ask(problem, min(count, budget - len(order)))
        if not asked:
            break
        for row in asked:
            time = times[row]
            strategy.tell(problem, row, None if time is None or np.isnan(time) else float(time))
        order += asked
    return order


def evaluations_to(order, times, share=0.02):
    """How many evaluations it took to come within a share of the optimum, one more than all where it never did."""
    good = [place for place, row in enumerate(order) if times[row] <= np.nanmin(times) * (1 + share)]
    return good[0] + 1 if good else len(order) + 1


@pytest.fixture(scope="session")
def table():
    return make_table()


@pytest.fixture(scope="session")
def helpers():
    class Helpers:
        task = staticmethod(make_task)
        table = staticmethod(make_table)
        times = staticmethod(make_times)
        drive = staticmethod(drive)
        evaluations_to = staticmethod(evaluations_to)

    return Helpers
