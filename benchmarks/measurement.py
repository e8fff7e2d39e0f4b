"""Checks the measuring itself on the CUDA GPU at hand: its spread, its floor, and what else says the same.

    python benchmarks/measurement.py [--repeats 5] [--json FILE]

- A/A: one config against itself, each with a timer of its own; how far paired ratios lie from 1.
- floor: a kernel that does nothing, and a copy of 1 GiB.
- cold: the experts' kernels with weights rotated over more than the L2 cache, and with one set of weights.
- profiler: the order of routing's algorithms by events around graphs, and by the kernels' durations as CUPTI gives
  them to torch.profiler.

Everything is measured as `workbench sweep` measures. Exit code 1 where an A/A spread (the median of the repeats)
exceeds 0.5 % for a call of 2 us or more or the profiler disagrees on the order beyond the intervals, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from moe_kernels.experts.decode import EXPERTS_DECODE
from moe_kernels.experts.grouped import EXPERTS
from moe_kernels.routing import ROUTING
from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.base.files import write_whole
from workbench.measure.clocks import open_clocks
from workbench.measure.race import MeasureSettings, TimedConfig, measure_batch
from workbench.measure.timers import GpuTimers, RotatingInputs
from workbench.report.table import Column, Table, print_table

LARGEST_SPREAD, SHORTEST_US = 0.005, 2.0
COPIED_BYTES = 2**30
# Rounds until the interval is well inside what a spread is judged by.
SETTINGS = MeasureSettings(relative_ci=0.002, slower_margin=None, max_rounds=400, max_seconds=10.0)
EXPERTS_AXES: Problem = {
    "num_experts": 128,
    "top_k": 8,
    "hidden_size": 2816,
    "intermediate_size": 704,
    "dtype": "bf16",
}
ROUTING_AXES: Problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
CASES: Sequence[tuple[TunableKernel, Problem]] = (
    *((ROUTING, {**ROUTING_AXES, "tokens": tokens}) for tokens in (1, 64, 1024, 16384)),
    *((EXPERTS_DECODE, {**EXPERTS_AXES, "tokens": tokens}) for tokens in (1, 8)),
    *((EXPERTS, {**EXPERTS_AXES, "tokens": tokens}) for tokens in (64, 1024)),
)
PROFILED_CALLS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfComparison:
    """A config against itself: medians in microseconds, and paired ratios, one of each repeat."""

    kernel: str
    problem: Problem
    medians_us: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def spread(self) -> float:
        """How far a paired ratio lies from 1, median over the repeats: the worst of five says more of luck."""
        return statistics.median(abs(ratio - 1.0) for ratio in self.ratios)

    @property
    def fails(self) -> bool:
        return statistics.median(self.medians_us) >= SHORTEST_US and self.spread > LARGEST_SPREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """One call with cold weights and with hot ones, microseconds."""

    kernel: str
    problem: Problem
    cold_us: float
    hot_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """A config by events (median, low, high) and by the profiler's median kernel duration, microseconds."""

    config: Config
    events_us: tuple[float, float, float]
    profiler_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that was found so far; `bandwidth` is of the copy, bytes read and written, a second."""

    empty_us: float
    bandwidth: float
    same: tuple[SelfComparison, ...] = ()
    temperatures: tuple[Temperature, ...] = ()
    profiled: tuple[Profiled, ...] = ()

    @property
    def order_agrees(self) -> bool:
        """Whether configs whose intervals do not touch come in the profiler's order too."""
        ordered = sorted(self.profiled, key=lambda each: each.events_us[0])
        apart = ((one, other) for one, other in pairwise(ordered) if one.events_us[2] < other.events_us[1])
        return all(one.profiler_us < other.profiler_us for one, other in apart)


def main() -> int:
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        print("error: no CUDA GPU: torch sees none, and measuring is checked on one", file=sys.stderr)
        return 2
    for report in reports(GpuTimers(), arguments.repeats):
        if arguments.json:
            write_json(arguments.json, report)
    for table in render(report):
        print_table(table)
    return int(any(each.fails for each in report.same) or not report.order_agrees)


def reports(timers: GpuTimers, repeats: int) -> Iterator[Report]:
    """The report after each finding."""
    empty_us = statistics.median(timers.of_empty_kernel().sample() for _ in range(50))
    report = Report(empty_us=empty_us, bandwidth=copy_bandwidth(timers))
    yield report
    for case in CASES:
        report = replace(report, same=(*report.same, compare_with_itself(timers, *case, repeats)))
        yield report
    for case in CASES:
        if case[0] is not ROUTING:
            found = compare_temperatures(timers, *case)
            report = replace(report, temperatures=(*report.temperatures, found))
            yield report
    yield replace(report, profiled=profile_algorithms(timers))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def compare_with_itself(
    timers: GpuTimers, kernel: TunableKernel, problem: Problem, repeats: int
) -> SelfComparison:
    print(f"A/A {kernel.name}, {problem['tokens']} tokens", file=sys.stderr, flush=True)
    inputs, clocks = timers.inputs(kernel, problem), open_clocks(timers.device)
    medians, ratios = [], []
    for _ in range(repeats):
        first, again, third = (timers.of_kernel(kernel, problem, {}, inputs) for _ in range(3))
        result = measure_batch(
            [TimedConfig("again", again)],
            default=first,
            default_again=third,
            settings=SETTINGS,
            clocks=clocks,
        )
        (measured,) = result.measurements
        medians.append(measured.time_us.median)
        ratios.append(measured.ratio.median)
    return SelfComparison(
        kernel=kernel.name, problem=problem, medians_us=tuple(medians), ratios=tuple(ratios)
    )


def compare_temperatures(timers: GpuTimers, kernel: TunableKernel, problem: Problem) -> Temperature:
    cold = timers.inputs(kernel, problem)
    hot = RotatingInputs(cold.copies[:1], cold.streamed_bytes, cold.wanted_bytes)
    cold_us, hot_us = (
        statistics.median(timer.sample() for _ in range(30))
        for timer in (timers.of_kernel(kernel, problem, {}, inputs) for inputs in (cold, hot))
    )
    return Temperature(kernel=kernel.name, problem=problem, cold_us=cold_us, hot_us=hot_us)


def profile_algorithms(timers: GpuTimers) -> tuple[Profiled, ...]:
    problem: Problem = {**ROUTING_AXES, "tokens": 1024}
    choices = next(each.choices for each in ROUTING.parameters if each.name == "algorithm")
    configs = {str(choice): ROUTING.complete({"algorithm": choice}) for choice in choices or ()}
    inputs, clocks = timers.inputs(ROUTING, problem), open_clocks(timers.device)
    made = {name: timers.of_kernel(ROUTING, problem, config, inputs) for name, config in configs.items()}
    first = next(iter(made))
    result = measure_batch(
        [TimedConfig(name, timer) for name, timer in made.items()],
        default=made[first],
        default_again=timers.of_kernel(ROUTING, problem, configs[first], inputs),
        settings=SETTINGS,
        clocks=clocks,
    )
    measured = {each.name: each.time_us for each in result.measurements}
    return tuple(
        Profiled(
            config=config,
            events_us=(measured[name].median, measured[name].low, measured[name].high),
            profiler_us=kernel_us(problem, config, inputs, timers.device),
        )
        for name, config in configs.items()
    )


def kernel_us(problem: Problem, config: Config, inputs: RotatingInputs, device: torch.device) -> float:
    """The median duration of a call's kernels by torch.profiler, microseconds."""
    outputs = ROUTING.make_outputs(problem, device)
    launches = tuple(ROUTING.launches(inputs[0], outputs, problem, config))
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(PROFILED_CALLS):
            for launch in launches:
                launch.run()
        torch.cuda.synchronize(device)
    times = [event.device_time for event in profiled.events() if "routing" in event.name]
    return statistics.median(times) * len(launches)


def copy_bandwidth(timers: GpuTimers) -> float:
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=timers.device)
    target = torch.empty_like(source)
    timer = timers.of_call(lambda call: target.copy_(source))
    return 2 * COPIED_BYTES / min(timer.sample() for _ in range(20)) * 1e6


def render(report: Report) -> tuple[Table, ...]:
    name = torch.cuda.get_device_name()
    return (
        table(
            f"one config against itself on {name}",
            ("kernel", "tokens", "us", "spread", "aim"),
            [
                (
                    each.kernel,
                    str(each.problem["tokens"]),
                    f"{statistics.median(each.medians_us):.2f}",
                    f"{each.spread:.2%}",
                    "missed" if each.fails else "met",
                )
                for each in report.same
            ],
            f"aim: under {LARGEST_SPREAD:.1%} for calls of {SHORTEST_US} us and more",
            f"an empty launch in a graph {report.empty_us:.2f} us, a copy {report.bandwidth / 1e12:.2f} TB/s",
        ),
        table(
            "weights rotated over more than the L2 cache, and one set of them",
            ("kernel", "tokens", "cold us", "hot us", "hot / cold"),
            [
                (
                    each.kernel,
                    str(each.problem["tokens"]),
                    f"{each.cold_us:.2f}",
                    f"{each.hot_us:.2f}",
                    f"{each.hot_us / each.cold_us:.3f}",
                )
                for each in report.temperatures
            ],
        ),
        table(
            "algorithms of routing at 1,024 tokens by events and by the profiler",
            ("algorithm", "events us", "profiler us"),
            [
                (str(each.config["algorithm"]), f"{each.events_us[0]:.2f}", f"{each.profiler_us:.2f}")
                for each in report.profiled
            ],
            f"same order: {'yes' if report.order_agrees else 'no'}",
        ),
    )


def table(title: str, headings: Sequence[str], rows: Sequence[tuple[str, ...]], *notes: str) -> Table:
    columns = tuple(
        Column(heading, justify="right" if place else "left") for place, heading in enumerate(headings)
    )
    return Table(title=title, columns=columns, rows=tuple(rows), notes=notes)


def write_json(path: Path, report: Report) -> None:
    import triton

    versions: Mapping[str, str] = {"torch": torch.__version__, "triton": triton.__version__}
    content = {
        "schema": "workbench.bench-measurement/1",
        "evidence": "measured",
        "device_name": torch.cuda.get_device_name(),
        "versions": versions,
        **asdict(report),
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
