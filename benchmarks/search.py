"""How good a config a search finds with how few evaluations, on recorded landscapes, beside what others use.

    python benchmarks/search.py LANDSCAPE... [--seeds 20] [--methods auto,optuna,random,kt:adaptive_tabu_greywolf]
    python benchmarks/search.py --family A.json.gz B.json.gz        # what carrying over from A saves on B

Every method runs on the same landscapes with the same seeds; only unique evaluations count, failed configs among them.
A cell is the geometric mean over landscapes and seeds of (best found / fastest recorded) after so many evaluations;
the last columns are the share of runs within 1 % of the fastest. Optuna's TPE runs as Optuna's users run it, with
repeated and illegal suggestions left out of the count; Kernel Tuner's strategies in its own simulation mode. Both come
with `pip install -e '.[benchmarks]'`. Landscapes are Kernel Tuner's cache files or runs of ours.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import math
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.replay import Landscape, read_landscapes
from workbench.search import STRATEGIES, SearchTask

BUDGETS = (25, 50, 100, 200)
KERNEL_TUNER = "kt:"
FAMILY_WITHIN = 0.02


@dataclass(frozen=True)
class Run:
    """One method on one landscape with one seed.

    Attributes:
        regret: best found so far over the fastest recorded, after each evaluation; infinite before one succeeded.
        seconds: of the search itself, everything but looking times up.
    """

    method: str
    landscape: str
    seed: int
    regret: NDArray[np.float64]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("landscapes", nargs="*", type=Path)
    parser.add_argument(
        "--family", nargs="+", type=Path, default=[], help="recordings of one kernel, searched as one"
    )
    parser.add_argument("--methods", default="auto,optuna,random,kt:adaptive_tabu_greywolf")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=max(BUDGETS))
    parser.add_argument("--jobs", type=int, default=1, help="processes; times of the search need 1")
    parser.add_argument("--plot", type=Path, help="a PNG or SVG of the regret")
    parser.add_argument("--json", type=Path, help="every run's regret")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if arguments.landscapes:
        runs = run_all(
            arguments.landscapes, arguments.methods.split(","), seeds, arguments.budget, arguments.jobs
        )
        print_table(runs, arguments.budget)
        if arguments.plot:
            plot(runs, arguments.plot)
        if arguments.json:
            arguments.json.write_text(json.dumps([as_record(run) for run in runs]))
    if arguments.family:
        print_family(arguments.family, seeds, arguments.budget)


def run_all(
    paths: Sequence[Path], methods: Sequence[str], seeds: Sequence[int], budget: int, jobs: int
) -> list[Run]:
    tasks = [(path, method, seed, budget) for path in paths for method in methods for seed in seeds]
    started, runs = time.monotonic(), []
    with ProcessPoolExecutor(jobs) as pool:
        for done, run in enumerate(pool.map(run_one, *zip(*tasks, strict=True)), start=1):
            runs.append(run)
            left = (time.monotonic() - started) / done * (len(tasks) - done)
            print(
                f"\r{done}/{len(tasks)} runs, about {left:.0f} s left   ", end="", flush=True, file=sys.stderr
            )
    print(file=sys.stderr)
    return runs


def run_one(path: Path, method: str, seed: int, budget: int) -> Run:
    (landscape,) = recorded(path)
    started = time.perf_counter()
    if method.startswith(KERNEL_TUNER):
        times = kernel_tuner(path, landscape, method.removeprefix(KERNEL_TUNER), seed, budget)
    else:
        times = list(search([landscape], method, seed, budget)[0])
    seconds = time.perf_counter() - started
    return Run(method, path.name, seed, regret_of(times, landscape, budget), seconds)


@cache
def recorded(path: Path) -> tuple[Landscape, ...]:
    return read_landscapes(path)


def regret_of(times: Sequence[float], landscape: Landscape, budget: int) -> NDArray[np.float64]:
    found = np.full(budget, np.inf)
    found[: min(budget, len(times))] = np.nan_to_num(times[:budget], nan=np.inf)
    return np.minimum.accumulate(found) / landscape.best_us


def search(
    landscapes: Sequence[Landscape],
    strategy: str,
    seed: int,
    budget: int,
    problems: Sequence[int] | None = None,
) -> list[list[float]]:
    """The times of each landscape's evaluations, NaN where one failed, in one search over all of them."""
    task = SearchTask(
        parameters=landscapes[0].parameters,
        problems=tuple({"device": each.device, **each.problem} for each in landscapes),
        tables=tuple(each.table for each in landscapes),
        ladder=next(axis.name for axis in landscapes[0].axes if axis.ladder),
        priors=(None,) * len(landscapes),
        budget=budget,
        seed=seed,
    )
    chosen = STRATEGIES[strategy](task)
    found: list[list[float]] = [[] for _ in landscapes]
    for problem in range(len(landscapes)) if problems is None else problems:
        while rows := chosen.ask(problem, budget - len(found[problem])):
            for row in rows:
                time_us = float(landscapes[problem].times_us[row])
                found[problem].append(time_us)
                chosen.tell(problem, row, None if math.isnan(time_us) else time_us)
    return found


def kernel_tuner(path: Path, landscape: Landscape, strategy: str, seed: int, budget: int) -> list[float]:
    from kernel_tuner import tune_cache

    random.seed(seed)
    np.random.seed(seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        copy = Path(folder) / "cache.json"
        if path.suffix == ".gz":
            with gzip.open(path) as packed, copy.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        else:
            shutil.copy(path, copy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results, _ = tune_cache(
                str(copy), strategy=strategy, strategy_options={"max_fevals": budget}, quiet=True
            )
    return list(unique_times(results, landscape))


def unique_times(results: Sequence[dict], landscape: Landscape) -> Iterator[float]:
    seen: set[int] = set()
    for result in results:
        row = landscape.table.find({name: result[name] for name in landscape.table.names})
        if row is not None and row not in seen:
            seen.add(row)
            yield float(landscape.times_us[row])


def print_table(runs: Sequence[Run], budget: int) -> None:
    budgets = [each for each in BUDGETS if each <= budget]
    landscapes = list(dict.fromkeys(run.landscape for run in runs))
    print(f"{'landscape':<36}{'method':<30}" + "".join(f"{each:>8}" for each in budgets), end="")
    print("   <=1 % at " + "/".join(map(str, budgets[-2:])) + "     s a run")
    for name in [*landscapes, "all"] if len(landscapes) > 1 else landscapes:
        for method in dict.fromkeys(run.method for run in runs):
            mine = [run for run in runs if run.method == method and name in (run.landscape, "all")]
            print_row(name, method, mine, budgets)


def print_row(name: str, method: str, runs: Sequence[Run], budgets: Sequence[int]) -> None:
    cells = "".join(f"{geometric_mean([run.regret[each - 1] for run in runs]):>8.3f}" for each in budgets)
    within = "/".join(
        f"{np.mean([run.regret[each - 1] <= 1.01 for run in runs]):.0%}" for each in budgets[-2:]
    )
    print(f"{name:<36}{method:<30}{cells}   {within:>14}{np.mean([run.seconds for run in runs]):>14.2f}")


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def print_family(paths: Sequence[Path], seeds: Sequence[int], budget: int) -> None:
    """Evaluations until within 2 % of the fastest: each member alone, and after all the others before it."""
    landscapes = [each for path in paths for each in read_landscapes(path)]
    print(
        f"\nevaluations until within {FAMILY_WITHIN:.0%} of the fastest, mean over {len(seeds)} seeds (most: {budget})"
    )
    print(f"{'landscape':<48}{'alone':>8}{'carried over':>14}{'saved':>8}")
    alone = [[needed(search([each], "auto", seed, budget)[0], each) for seed in seeds] for each in landscapes]
    carried = [
        [
            needed(times, each)
            for times, each in zip(search(landscapes, "auto", seed, budget), landscapes, strict=True)
        ]
        for seed in seeds
    ]
    for place, landscape in enumerate(landscapes):
        first, then = float(np.mean(alone[place])), float(np.mean([counts[place] for counts in carried]))
        saved = f"{1 - then / first:>8.0%}" if place else "        "
        print(f"{landscape.path.name:<48}{first:>8.1f}{then:>14.1f}{saved}")


def needed(times: Sequence[float], landscape: Landscape) -> int:
    good = np.flatnonzero(np.nan_to_num(times, nan=np.inf) <= (1 + FAMILY_WITHIN) * landscape.best_us)
    return int(good[0]) + 1 if len(good) else len(times)


def plot(runs: Sequence[Run], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for method in dict.fromkeys(run.method for run in runs):
        regrets = np.array([run.regret for run in runs if run.method == method])
        mean = np.exp(np.mean(np.log(regrets), axis=0))
        axes.plot(np.arange(1, len(mean) + 1), mean - 1, label=method)
    axes.set(
        xlabel="unique evaluations", ylabel="best found over fastest, minus 1 (lower is better)", yscale="log"
    )
    axes.set_ylim(1e-3, 2)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def as_record(run: Run) -> dict:
    regret = [value if math.isfinite(value) else None for value in run.regret.tolist()]
    return {
        "method": run.method,
        "landscape": run.landscape,
        "seed": run.seed,
        "regret": regret,
        "s": run.seconds,
    }


if __name__ == "__main__":
    main()
