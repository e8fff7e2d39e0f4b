"""Times the routing of T tokens: split torch ops, fused kernels and an empty launch, on the CUDA GPU at hand.

    python benchmarks/routing.py [--tokens 1 8 64] [--dtypes bf16] [--json FILE]

Every arm is checked against the reference first; an arm that is wrong gets no time. The arms of one problem
are then measured together as `workbench sweep` measures: CUDA graphs of many launches in interleaved shuffled
rounds, ratios paired by round, logits and scale hot in cache. Exit code 1 where an arm is wrong, 2 without a
CUDA GPU.

`sort` is the algorithm that vLLM and SGLang ship, one sort over 64-bit keys; `fused-default` and
`fused-tuned` are what `fused_routing` runs without and with the tuned results at hand; `empty` launches a
kernel that does nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from moe_kernels import tuned
from moe_kernels.routing import ROUTING, reference_routing, split_routing
from moe_kernels.tunable import Config, Problem
from workbench.base.files import write_whole
from workbench.base.statistics import Estimate, bootstrap_median, paired_ratios
from workbench.measure.clocks import ClockReader, open_clocks
from workbench.measure.inputs import draw_inputs
from workbench.measure.race import DEFAULT, BatchResult, MeasureSettings, TimedConfig, Timer, measure_batch
from workbench.measure.timers import GpuTimers, RotatingInputs
from workbench.report.table import Column, Table, print_table
from workbench.sweep.stages.verify import verify

TOKENS = tuple(2**power for power in range(15))
DTYPES = ("bf16", "fp32")
NUM_EXPERTS, TOP_K = 128, 8
FUSED = ("sort", "fused-default", "fused-tuned")
ARMS = ("split", *FUSED, "empty")
RATIOS = (
    ("fused-default", "split"),
    ("fused-tuned", "split"),
    ("fused-default", "empty"),
    ("fused-tuned", "empty"),
    ("fused-tuned", "sort"),
)
SEEDS = range(2)

# No arm leaves the race for being slower: every arm's time is wanted.
SETTINGS = MeasureSettings(slower_margin=None, max_seconds=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm on one problem: what is wrong with it, or its time and its ratios, each (median, low, high)."""

    wrong: str | None = None
    config: Config | None = None
    time_us: tuple[float, float, float] | None = None
    ratios: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResult:
    """All arms on one problem, with the A/A noise floor and the raw rounds."""

    problem: Problem
    arms: Mapping[str, ArmResult]
    noise_floor: float | None = None
    clocks: Any = None
    samples: tuple[Any, ...] = ()


def main() -> int:
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        print(
            "error: no CUDA GPU: torch sees none, and this benchmark times nothing without one",
            file=sys.stderr,
        )
        return 2
    timers, results = GpuTimers(), []
    clocks = open_clocks(timers.device)
    for dtype in arguments.dtypes:
        for tokens in arguments.tokens:
            print(f"timing {dtype}, {tokens} tokens", file=sys.stderr, flush=True)
            results.append(run_problem(timers, clocks, tokens, dtype))
            if arguments.json:
                write_json(arguments.json, results)
        print_table(render([result for result in results if result.problem["dtype"] == dtype], dtype))
    return int(any(arm.wrong for result in results for arm in result.arms.values()))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, metavar="T")
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, choices=("bf16", "fp16", "fp32"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes times, ratios and raw rounds")
    arguments = parser.parse_args()
    if min(arguments.tokens) < 1:
        parser.error("--tokens: must be at least 1")
    return arguments


def run_problem(timers: GpuTimers, clocks: ClockReader, tokens: int, dtype: str) -> ProblemResult:
    problem: Problem = {"num_experts": NUM_EXPERTS, "top_k": TOP_K, "dtype": dtype, "tokens": tokens}
    configs = fused_configs(problem, timers.device)
    wrong = {arm: verify(ROUTING, problem, configs[arm], seeds=SEEDS, device=timers.device) for arm in FUSED}
    wrong["split"] = check_split(problem, timers.device)
    arms = {arm: ArmResult(wrong=reason, config=configs.get(arm)) for arm, reason in wrong.items()}
    if wrong["split"]:
        return ProblemResult(problem=problem, arms=arms)
    inputs = timers.inputs(ROUTING, problem)
    timed = make_timers(timers, problem, {arm: configs[arm] for arm in FUSED if not wrong[arm]}, inputs)
    result = measure_batch(
        [TimedConfig(arm, timer) for arm, timer in timed.items()],
        default=timers.of_call(split_call(inputs)),
        default_again=timers.of_call(split_call(inputs)),
        settings=SETTINGS,
        clocks=clocks,
    )
    return ProblemResult(
        problem=problem,
        arms=arms | {arm: arm_result(result, arm, configs.get(arm)) for arm in ("split", *timed)},
        noise_floor=result.noise.floor,
        clocks=result.clocks,
        samples=result.samples,
    )


def fused_configs(problem: Problem, device: torch.device) -> dict[str, Config]:
    looked_up = tuned.lookup(
        ROUTING, {axis: problem[axis] for axis in problem if axis != "tokens"}, int(problem["tokens"]), device
    )
    return {
        "sort": ROUTING.complete({"algorithm": "sort"}),
        "fused-default": ROUTING.default_config,
        "fused-tuned": ROUTING.complete(dict(looked_up)),
    }


def check_split(problem: Problem, device: torch.device) -> str | None:
    """Compares the split ops with the reference; `torch.topk` may order equal logits as it likes."""
    for seed in SEEDS:
        inputs = draw_inputs(ROUTING, problem, seed=seed, device=device)
        logits, scale = inputs["logits"], inputs["per_expert_scale"]
        weights, ids = split_routing(logits, scale, TOP_K)
        _, expected_ids = reference_routing(logits, scale, TOP_K)
        selected = logits.gather(1, ids.long())
        if not torch.equal(selected, logits.gather(1, expected_ids.long())):
            return f"seed {seed}: other logits selected than the reference's"
        if bool((ids.sort(dim=1).values.diff(dim=1) == 0).any()):
            return f"seed {seed}: an expert selected twice"
        expected = torch.softmax(selected.float(), dim=-1) * scale[ids.long()]
        if not torch.allclose(weights, expected, rtol=1e-5, atol=1e-6):
            return f"seed {seed}: weights differ from the reference"
    return None


def make_timers(
    timers: GpuTimers, problem: Problem, configs: Mapping[str, Config], inputs: RotatingInputs
) -> dict[str, Timer]:
    timed: dict[str, Timer] = {
        arm: timers.of_kernel(ROUTING, problem, config, inputs) for arm, config in configs.items()
    }
    return timed | {"empty": timers.of_empty_kernel()}


def split_call(inputs: RotatingInputs) -> Callable[[int], object]:
    return lambda call: split_routing(inputs[call]["logits"], inputs[call]["per_expert_scale"], TOP_K)


def arm_result(result: BatchResult, arm: str, config: Config | None) -> ArmResult:
    name = DEFAULT if arm == "split" else arm
    times = by_round(result, name)
    ratios = {}
    for other in ("split", "sort", "empty"):
        baseline = by_round(result, DEFAULT if other == "split" else other)
        if common := sorted(times.keys() & baseline.keys()):
            ratios[other] = summary([times[r] for r in common], [baseline[r] for r in common])
    return ArmResult(config=config, time_us=summary(list(times.values())), ratios=ratios)


def by_round(result: BatchResult, name: str) -> dict[int, float]:
    return {sample.round: sample.time_us for sample in result.samples if sample.name == name and sample.used}


def summary(times: Sequence[float], baseline: Sequence[float] | None = None) -> tuple[float, float, float]:
    values = times if baseline is None else paired_ratios(times, baseline)
    estimate: Estimate = bootstrap_median(values, seed=SETTINGS.seed, confidence=SETTINGS.confidence)
    return estimate.median, estimate.low, estimate.high


def render(results: Sequence[ProblemResult], dtype: str) -> Table:
    ratios = (f"{arm.removeprefix('fused-')}/{other}" for arm, other in RATIOS)
    headings = ("tokens", *(f"{arm} us" for arm in ARMS), *ratios, "A/A floor")
    wrong = [
        f"{arm} at {result.problem['tokens']} tokens is wrong and was not timed: {found.wrong}"
        for result in results
        for arm, found in result.arms.items()
        if found.wrong
    ]
    return Table(
        title=f"routing, {NUM_EXPERTS} experts, top {TOP_K}, {dtype}, on {torch.cuda.get_device_name()}",
        columns=tuple(Column(heading, justify="right") for heading in headings),
        rows=tuple(cells(result) for result in results),
        notes=("medians of interleaved rounds; ratios are paired by round", *wrong),
    )


def cells(result: ProblemResult) -> tuple[str, ...]:
    return (
        str(result.problem["tokens"]),
        *(time_cell(result.arms.get(arm)) for arm in ARMS),
        *(ratio_cell(result.arms.get(arm), other) for arm, other in RATIOS),
        "-" if result.noise_floor is None else f"{result.noise_floor:.1%}",
    )


def time_cell(arm: ArmResult | None) -> str:
    if arm is not None and arm.wrong:
        return "wrong"
    return f"{arm.time_us[0]:.2f}" if arm and arm.time_us else "-"


def ratio_cell(arm: ArmResult | None, other: str) -> str:
    return f"{arm.ratios[other][0]:.3f}" if arm and other in arm.ratios else "-"


def write_json(path: Path, results: Sequence[ProblemResult]) -> None:
    import triton

    content = {
        "schema": "workbench.bench-routing/1",
        "evidence": "measured",
        "device_name": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "triton": triton.__version__},
        "settings": dataclasses.asdict(SETTINGS),
        "results": [dataclasses.asdict(result) for result in results],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
