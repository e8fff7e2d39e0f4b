"""Times compiling: how it scales from one worker to two, and what a config costs when the compile cache is warm.

    python benchmarks/compiling.py

Workers are warm (all imports done) and every pass has an empty cache of its own, except the warm one. Targets: the
wall on two workers at most 0.6 of one's (median of the passes); under 50 ms a config on a problem with a warm cache,
all of a sweep included.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.executors import WorkerPool
from workbench.sweep.stages.compile import compile_candidate, warm_up
from workbench.trials.trial import Candidate

CAPABILITY = 100
PASSES = 3


def candidates() -> list[Candidate]:
    """27 configs of the routing kernel on one problem."""
    problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16", "tokens": 64}
    space = itertools.product(("topk", "select", "two_step"), (1, 2, 4), (1, 2, 4))
    return [
        Candidate(
            problem,
            {"algorithm": algorithm, "num_warps": warps, "tokens_per_program": tokens, "scale_load": "row"},
        )
        for algorithm, warps, tokens in space
    ]


@contextmanager
def warm_pool(jobs: int, cache: str) -> Iterator[WorkerPool]:
    """A pool whose workers have imported everything."""
    os.environ["TRITON_CACHE_DIR"] = cache
    with WorkerPool(jobs, timeout_s=300) as pool:
        # A worker takes the next warm-up only when it is done with its own, so two apiece reach every worker.
        for future in [pool.submit(_slow_warm_up) for _ in range(jobs)]:
            future.result()
        yield pool


def _slow_warm_up() -> None:
    warm_up("routing", CAPABILITY)
    time.sleep(2)


def compile_all(pool: WorkerPool) -> float:
    """Seconds to compile every candidate."""
    start = time.perf_counter()
    for future in [pool.submit(compile_candidate, "routing", each, CAPABILITY) for each in candidates()]:
        future.result()
    return time.perf_counter() - start


def scaling() -> float:
    """Prints the wall on one and on two workers, pass by pass; returns the median ratio."""
    ratios = []
    for number in range(PASSES):
        walls = []
        for jobs in (1, 2):
            with tempfile.TemporaryDirectory() as cache, warm_pool(jobs, cache) as pool:
                walls.append(compile_all(pool))
        ratios.append(walls[1] / walls[0])
        print(f"pass {number + 1}: {walls[0]:.2f} s on 1 worker, {walls[1]:.2f} s on 2: {ratios[-1]:.2f}")
    return statistics.median(ratios)


def warm_cache() -> None:
    """Prints what compiling costs a config, cold and from the cache on disk."""
    count = len(candidates())
    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "warm"):
            with warm_pool(1, cache) as pool:
                print(
                    f"compiling, one worker, {state} cache: {1000 * compile_all(pool) / count:.1f} ms a config"
                )


def repeated_sweep() -> None:
    """Prints what the main job costs a trial, start-up and verification included, cold and repeated."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = f"{folder}/cache"
        for state in ("cold", "warm"):
            start = time.perf_counter()
            command = [sys.executable, "-m", "workbench", "sweep", "routing", "--fresh", "--json"]
            answer = subprocess.run(
                [*command, "--device", "b200", "--out", f"{folder}/{state}"], check=True, capture_output=True
            )
            seconds = time.perf_counter() - start
            trials = sum(sum(each["trials"].values()) for each in json.loads(answer.stdout)[0]["problems"])
            told = f"{seconds:.1f} s, {1000 * seconds / trials:.1f} ms for each of {trials} trials"
            print(f"the main job, {state} cache: {told}")


def main() -> None:
    """Prints all figures; they are this machine's, on one run."""
    ratio = scaling()
    print(
        f"target: at most 0.60 of one worker's wall on two: {'met' if ratio <= 0.6 else 'missed'} ({ratio:.2f})"
    )
    warm_cache()
    repeated_sweep()


if __name__ == "__main__":
    main()
