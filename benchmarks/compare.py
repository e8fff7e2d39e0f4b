"""How often `compare` fails on equal things, and finds what is 3 % slower: `python benchmarks/compare.py [--runs 200]`.

Every run writes two results as files, as the tool's own measuring would, and compares them as the command does:

- winners: 22 rows, each the tool's own measuring (interleaved rounds, two sessions) on a replayed GPU with
  the noise of `workbench.replay.noise`: drift between windows, wandering, bursts, throttling;
- recorded winners: 22 configs of one recorded landscape (`$WORKBENCH_SHARED/data/landscapes`), half of each one's
  raw times for A and the other half for B, with bootstrap intervals: real launches, nothing drawn;
- bench: 3 arms on 5 loads, 5 repeats each; a row's repeats are drawn from the raw times of one config of a recorded
  landscape (`$WORKBENCH_SHARED/data/landscapes`), else lognormal of 0.5 %; `--run-to-run` shifts rows between runs;
- steps: a trace of 16 steps, its steps drawn likewise.

A/A: both of the same truth, any failure is false. `one` row of B, or `all`, is 3 % slower: a failure is a detection.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from moe_kernels.tuned import Row, Run, TunedFile, serialise
from workbench.base.statistics import bootstrap_median
from workbench.bench.figures import of_repeats
from workbench.bench.rows import BenchFile, BenchRow, write_bench
from workbench.compare.gate import compare
from workbench.measure.race import MeasureSettings, TimedConfig, measure_batch
from workbench.replay.noise import Noise, NoisyGpu
from workbench.timeline.idle import Gaps
from workbench.timeline.layers import Layers
from workbench.timeline.record import summary_record
from workbench.timeline.spread import Spread
from workbench.timeline.summary import PerStep, Stretch, Summary
from workbench.timeline.trace import GraphLaunches, KernelLaunches

SLOWER = 1.03
LADDER = (1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 8192, 16384)
ARMS, LOADS, REPEATS, STEPS = ("split", "fused", "tuned"), (1, 8, 32, 64, 128), 5, 16
ROWS = {"steps": 1, **dict.fromkeys(("winners", "quiet winners", "recorded winners"), len(LADDER))}
Draw = np.random.Generator
Factors = Callable[[int], float]
Jitter = Mapping[str, list[np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100, help="comparisons of each kind")
    parser.add_argument("--slower", type=float, default=SLOWER, help="what B takes where it is slower")
    parser.add_argument(
        "--run-to-run", type=float, default=0.003, help="standard deviation of a row's shift a run"
    )
    parser.add_argument("--jitter", help="standard deviation of a repeat; without it, recorded launches")
    parser.add_argument("--kinds", default="recorded winners,quiet winners,winners,bench,steps")
    arguments = parser.parse_args()
    jitter = lognormal(float(arguments.jitter)) if arguments.jitter else recorded_jitter()
    print(f"repeats: {', '.join(jitter)}; slower by {arguments.slower - 1:.1%}")
    print(f"{'':<18}{'A/A false':>12}{'one row':>12}{'all rows':>12}")
    raw = recorded_times()
    writers = {
        "recorded winners": lambda *args: recorded_winners(*args, raw),
        "winners": lambda *args: winners(*args, Noise()),
        "quiet winners": lambda *args: winners(*args, Noise(drift=0.002, throttle_rate=0.0)),
        "bench": lambda *args: bench(*args, jitter, arguments.run_to_run),
        "steps": lambda *args: steps(*args, jitter, arguments.run_to_run),
    }
    for kind in arguments.kinds.split(","):
        if kind == "recorded winners" and not raw:
            print(f"{kind:<18}  skipped: $WORKBENCH_SHARED names no folder of recordings")
            continue
        found = rates(writers[kind], arguments.runs, arguments.slower, ROWS.get(kind, 15))
        print(f"{kind:<18}" + "".join(f"{sum(each):>7}/{len(each):<4}" for each in found), flush=True)


def rates(
    write: Callable[[Path, Draw, Factors, int], None], runs: int, slower: float, rows: int
) -> list[list[bool]]:
    """Whether each comparison failed: of equal things, with one slower row, and with all slower."""
    found: list[list[bool]] = [[], [], []]
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            cases: tuple[Factors, ...] = (
                lambda row: 1.0,
                lambda row, at=run: slower if row == at % rows else 1.0,
                lambda row: slower,
            )
            a = Path(folder) / "a.json"
            write(a, np.random.default_rng([run, 0]), cases[0], run)
            for number, factors in enumerate(cases):
                b = Path(folder) / "b.json"
                write(b, np.random.default_rng([run, 1, number]), factors, run)
                found[number].append(compare(a, b).failed)
    return found


def winners(path: Path, draw: Draw, factors: Factors, name: int, noise: Noise) -> None:
    """A results file whose rows were timed like a sweep's finalists."""
    noise = replace(noise, seed=int(draw.integers(1 << 30)))
    write_winners(path, {tokens: winner(noise, tokens, factors(at)) for at, tokens in enumerate(LADDER)})


def recorded_winners(
    path: Path, draw: Draw, factors: Factors, name: int, raw: Mapping[str, list[np.ndarray]]
) -> None:
    """A results file of a random half of recorded times; B takes the other half."""
    choose = np.random.default_rng(name)
    lists = raw[sorted(raw)[name % len(raw)]]
    rows = {}
    for place, tokens in enumerate(LADDER):
        times = choose.permutation(lists[choose.integers(len(lists))])
        half = times[: len(times) // 2] if path.stem == "a" else times[len(times) // 2 :]
        estimate = bootstrap_median(factors(place) * half, seed=0)
        rows[tokens] = Row(
            run="r",
            config={"num_warps": 4},
            evidence="measured",
            time_us=estimate.median,
            ci_us=estimate.interval,
            default_time_us=1.2 * estimate.median,
        )
    write_winners(path, rows)


def write_winners(path: Path, rows: Mapping[int, Row]) -> None:
    run = Run(source_hash="0" * 16, versions={"triton": "3.9.0"}, date="2026-01-01T00:00:00Z")
    file = TunedFile(
        kernel="experts",
        device="NVIDIA_B200",
        device_name="NVIDIA B200",
        arch="sm_100",
        problem={"num_experts": 128},
        runs={"r": run},
        rows=rows,
    )
    path.write_text(serialise(file))


def winner(noise: Noise, tokens: int, factor: float) -> Row:
    """A config that takes 0.9 of the default, timed against it in two sessions."""
    settings = MeasureSettings(max_rounds=60, slower_margin=None)
    sessions = [session(noise, tokens, factor, settings, number) for number in range(2)]
    times = [each.measurements[0].time_us for each in sessions]
    defaults = [each.measurements[0].default_time_us for each in sessions]
    return Row(
        run="r",
        config={"num_warps": 4},
        evidence="measured",
        time_us=math.sqrt(times[0].median * times[1].median),
        ci_us=(min(each.low for each in times), max(each.high for each in times)),
        default_time_us=math.sqrt(defaults[0] * defaults[1]),
    )


def session(noise: Noise, tokens: int, factor: float, settings: MeasureSettings, number: int):
    gpu, time_us = NoisyGpu(noise, ["row", tokens, number]), 2.0 * tokens**0.5
    return measure_batch(
        [TimedConfig("candidate", gpu.timer(0.9 * time_us * factor))],
        default=gpu.timer(time_us),
        default_again=gpu.timer(time_us),
        settings=replace(settings, seed=number),
        clocks=gpu,
        now=gpu.now,
    )


def bench(path: Path, draw: Draw, factors: Factors, name: int, jitter: Jitter, run_to_run: float) -> None:
    """Bench rows as `bench run` writes them."""
    rows = []
    for place, (arm, load) in enumerate((arm, load) for arm in ARMS for load in LOADS):
        pool = pool_of(jitter, 100 * name + place)
        tpot = [8.0 * factors(place) * each for each in noisy(draw, pool, run_to_run, REPEATS)]
        metrics = {
            "tpot_p50_ms": of_repeats(tpot),
            "tpot_mean_ms": of_repeats([1.01 * each for each in tpot]),
            "output_tokens_per_s": of_repeats([load * 1e3 / each for each in tpot]),
            "ttft_p50_ms": of_repeats([90 * each for each in noisy(draw, pool, run_to_run, REPEATS)]),
        }
        rows.append(
            BenchRow(source="workbench", arm=arm, device="NVIDIA_B200", concurrency=load, metrics=metrics)
        )
    write_bench(path, BenchFile(schema="workbench.bench/1", origin={}, rows=tuple(rows)))


def steps(path: Path, draw: Draw, factors: Factors, name: int, jitter: Jitter, run_to_run: float) -> None:
    """A trace's summary, empty but for its steps."""
    spans = [4000 * factors(0) * each for each in noisy(draw, pool_of(jitter, name), run_to_run, STEPS)]
    spread = Spread(float(np.median(spans)), min(spans), max(spans), STEPS)
    found = Summary(
        file="trace.json",
        basis="gpu",
        device_names=("NVIDIA B200",),
        total=Stretch("all", 0.0, STEPS, sum(spans), sum(spans), ()),
        gaps=Gaps(0, 0.0, 0.0, 0.0, 0.0, 0.0, launch_bound=False),
        coverage=1.0,
        graphs=GraphLaunches(0, 0),
        kernel_launches=KernelLaunches(0, 0),
        layers=Layers(30, "drawn"),
        per_step=PerStep(STEPS, "drawn", span_us=spread, busy_us=spread, period_us=None, classes=()),
        steps=tuple(Stretch("step", 0.0, 1, each, each, ()) for each in spans),
        devices=(),
        kernels=(),
        reliable=True,
        reasons=(),
        notes=(),
    )
    path.write_bytes(msgspec.json.encode(summary_record(found)))


def noisy(draw: Draw, pool: np.ndarray, run_to_run: float, count: int) -> list[float]:
    """Repeats around 1 of one run."""
    shift = math.exp(draw.normal(0.0, run_to_run))
    return [float(shift * each) for each in draw.choice(pool, count)]


def pool_of(jitter: Jitter, name: int) -> np.ndarray:
    """The same pool for a row on both sides: what differs between configs is no noise."""
    choose = np.random.default_rng(name)
    pools = jitter[sorted(jitter)[choose.integers(len(jitter))]]
    return pools[choose.integers(len(pools))]


def lognormal(deviation: float) -> Jitter:
    """One pool of repeats."""
    return {f"lognormal, {deviation:.1%}": [np.exp(np.random.default_rng(0).normal(0.0, deviation, 4096))]}


def recorded_jitter() -> Jitter:
    """Raw times of recorded configs over their median, by recording; a repeat is the mean of 20 of them.

    A run of a workload is many steps long: what a single launch jitters by averages out in it.
    """
    draw = np.random.default_rng(0)
    found = {
        name: [draw.choice(times / np.median(times), (64, 20)).mean(axis=1) for times in lists[::5]]
        for name, lists in recorded_times().items()
    }
    return found or lognormal(0.005)


def recorded_times() -> Mapping[str, list[np.ndarray]]:
    """Of every 10th config of each recorded landscape its raw times, where there are enough to halve."""
    folder = Path(os.environ.get("WORKBENCH_SHARED", "/nowhere")) / "data" / "landscapes"
    found = {}
    for path in sorted(folder.glob("*.json.gz")):
        cache = json.loads(gzip.decompress(path.read_bytes()))["cache"].values()
        lists = [each.get("times") or () for each in cache if isinstance(each["time"], float)]
        found[path.name] = [np.asarray(times) for times in lists[::10] if len(times) >= 20]
    return {name: lists for name, lists in found.items() if lists}


if __name__ == "__main__":
    main()
