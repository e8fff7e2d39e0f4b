"""Times the experts of T tokens, and the whole MoE block, on the CUDA GPU at hand, beside torch and the engines.

    python benchmarks/experts.py [--tokens 1 8 64] [--dtype bf16 int4_w4a16 fp8_w8a8 nvfp4] [--group-size 32]
        [--arms auto split] [--layers 30] [--json FILE]

Every arm is checked against the reference first; an arm that is wrong or not installed gets no time. The arms of one
problem are then measured together as `workbench sweep` measures: CUDA graphs of many calls in interleaved shuffled
rounds. The calls of a graph rotate over the weights of as many layers as memory takes, 30 as in Gemma 4 26B-A4B where
it takes them, so weights come from memory as in decode; tokens and routing are hot in cache.

`copy` is the share of the copy bandwidth measured here that the bytes which must move make: each expert in use read
once, tokens read and written once. `roof` is the share of the roofline bound: the longer of those bytes at that
bandwidth and the operations at the rate measured on a large dense product. `block` is router norm, projection, routing
and experts, its share that of the experts' bytes alone. `memory` is the most that a call of `auto` held, as a multiple
of one layer's weights as they are stored. With bf16 and other dtypes, a last table gives each one's time as a share of
bf16's. Exit code 1 where an arm is wrong, 2 without a CUDA GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from experts_arms import ARMS, DENSE_ARMS, Run

from moe_kernels.experts import EXPERTS
from moe_kernels.experts.problem import call_of
from moe_kernels.experts.quantised.problem import GROUPED_WORDS, QUANTISED_WORDS
from moe_kernels.formats import QuantisedWeights
from moe_kernels.tunable import Problem, Tensors
from workbench.base.files import write_whole
from workbench.base.statistics import bootstrap_median
from workbench.measure.clocks import ClockReader, open_clocks
from workbench.measure.inputs import draw_inputs
from workbench.measure.race import DEFAULT, BatchResult, MeasureSettings, TimedConfig, Timer, measure_batch
from workbench.measure.timers import GpuTimers, RotatingInputs, rotate
from workbench.models.gemma4 import Gemma4Config, Gemma4MoE
from workbench.report.table import Column, Table, print_table

TOKENS = (1, 2, 3, 4, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 4096, 16384)
LAYERS = 30
MEMORY_SHARE = 0.7
COPIED_BYTES = 2**30
DENSE_SIZE = 8192
BASELINE, AUTO, BLOCK = "grouped-default", "auto", "block"
DENSE = "bf16"
PROJECTIONS = ("gate_up", "down")
SETTINGS = MeasureSettings(slower_margin=None, max_seconds=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the GPU at hand was measured to do: bytes a second of a copy, operations a second of a dense product."""

    copy_bytes_per_s: float
    flops_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm on one problem: why it was not timed, or its time in microseconds (median, low, high) and shares."""

    wrong: str | None = None
    absent: str | None = None
    time_us: tuple[float, float, float] | None = None
    copy_share: float | None = None
    roofline_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResult:
    """All arms on one problem, and the most memory that a call of `auto` held over that of a layer's weights."""

    problem: Problem
    layers: int
    experts_in_use: int
    bytes_moved: int
    memory_share: float | None
    arms: Mapping[str, ArmResult]
    noise_floor: float
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
    machine, clocks = measure_machine(timers), open_clocks(timers.device)
    for dtype in arguments.dtype:
        for tokens in arguments.tokens:
            print(f"timing {tokens} tokens in {dtype}", file=sys.stderr, flush=True)
            problem = problem_of(dtype, tokens, arguments)
            results.append(run_problem(timers, clocks, machine, problem, arguments))
            if arguments.json:
                write_json(arguments.json, results, machine)
        print_table(render([each for each in results if each.problem["dtype"] == dtype], machine, dtype))
    if DENSE in arguments.dtype and len(arguments.dtype) > 1:
        print_table(render_shares(results, arguments))
    return int(any(arm.wrong for result in results for arm in result.arms.values()))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, metavar="T")
    dtypes = (DENSE, "fp16", *QUANTISED_WORDS)
    parser.add_argument("--dtype", nargs="+", default=(DENSE,), choices=dtypes, metavar="DTYPE")
    parser.add_argument("--group-size", type=int, default=32, metavar="G", help="of int4 weights")
    parser.add_argument("--arms", nargs="+", default=(*ARMS, BLOCK), choices=(*ARMS, BLOCK), metavar="ARM")
    parser.add_argument("--layers", type=int, default=LAYERS, help="layers whose weights take turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes times, shares and raw rounds")
    arguments = parser.parse_args()
    if min(arguments.tokens) < 1 or arguments.layers < 1:
        parser.error("--tokens and --layers: must be at least 1")
    return arguments


def measure_machine(timers: GpuTimers) -> Machine:
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=timers.device)
    target = torch.empty_like(source)
    square = torch.randn(DENSE_SIZE, DENSE_SIZE, dtype=torch.bfloat16, device=timers.device)
    product = torch.empty_like(square)
    copy_us = best(timers.of_call(lambda call: target.copy_(source)))
    dense_us = best(timers.of_call(lambda call: torch.mm(square, square, out=product)))
    return Machine(
        copy_bytes_per_s=2 * COPIED_BYTES / copy_us * 1e6, flops_per_s=2 * DENSE_SIZE**3 / dense_us * 1e6
    )


def best(timer: Timer, samples: int = 20) -> float:
    return min(timer.sample() for _ in range(samples))


def problem_of(dtype: str, tokens: int, arguments: argparse.Namespace) -> Problem:
    model = Gemma4Config.preset("26b-a4b")
    return {
        "num_experts": model.num_experts,
        "top_k": model.top_k_experts,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.moe_intermediate_size,
        "dtype": dtype,
        **({"group_size": arguments.group_size} if dtype in GROUPED_WORDS else {}),
        "tokens": tokens,
    }


def run_problem(
    timers: GpuTimers, clocks: ClockReader, machine: Machine, problem: Problem, arguments: argparse.Namespace
) -> ProblemResult:
    model = Gemma4Config.preset("26b-a4b")
    inputs = rotated(timers, problem, arguments.layers)
    runs, arms = check_arms(inputs[0], problem, {BASELINE, *arguments.arms} - {BLOCK})
    calls = {name: partial(lambda run, call: run(inputs[call]), run) for name, run in runs.items()}
    if BLOCK in arguments.arms:
        calls[BLOCK] = block_call(model, inputs, problem)
    if BASELINE not in calls:
        raise SystemExit(f"error: {BASELINE} is wrong: {arms[BASELINE].wrong}")
    timed = [TimedConfig(name, timers.of_call(call)) for name, call in calls.items() if name != BASELINE]
    result = measure_batch(
        timed,
        default=timers.of_call(calls[BASELINE]),
        default_again=timers.of_call(calls[BASELINE]),
        settings=SETTINGS,
        clocks=clocks,
    )
    in_use = inputs[0]["ids"].unique().numel()
    moved = bytes_moved(inputs[0], in_use)
    bound_us = 1e6 * max(
        moved / machine.copy_bytes_per_s, EXPERTS.traffic(problem).flops / machine.flops_per_s
    )
    copy_us = 1e6 * moved / machine.copy_bytes_per_s
    return ProblemResult(
        problem=problem,
        layers=len(inputs.copies),
        experts_in_use=in_use,
        bytes_moved=moved,
        memory_share=memory_share(runs[AUTO], inputs[0]) if AUTO in runs else None,
        arms=arms | {name: timed_arm(result, name, copy_us, bound_us) for name in calls},
        noise_floor=result.noise.floor,
        samples=result.samples,
    )


def rotated(timers: GpuTimers, problem: Problem, layers: int) -> RotatingInputs:
    """One set of inputs for each layer, the weights in memory of their own."""
    read = EXPERTS.traffic(problem).bytes_read
    drawn = draw_inputs(EXPERTS, problem, seed=0, device=timers.device)
    free, _ = torch.cuda.mem_get_info(timers.device)
    stored = sum(tensor.nbytes for tensor in weights_of(drawn))
    return rotate(
        drawn,
        EXPERTS.produced,
        bytes_read=read,
        wanted_bytes=layers * min(read, stored),
        memory_bytes=int(free * MEMORY_SHARE),
    )


def weights_of(inputs: Tensors) -> list[torch.Tensor]:
    """The tensors of both projections, whatever their format."""
    return [tensor for name, tensor in inputs.items() if name.startswith(PROJECTIONS)]


def memory_share(run: Run, inputs: Tensors) -> float:
    """The weights and the most that a call allocates beside them, over the weights."""
    stored = sum(tensor.nbytes for tensor in weights_of(inputs))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run(inputs)
    return (stored + torch.cuda.max_memory_allocated() - before) / stored


def check_arms(
    inputs: Tensors, problem: Problem, names: set[str]
) -> tuple[dict[str, Run], dict[str, ArmResult]]:
    """The arms that are there and right, and what became of the others."""
    expected, runs, others = EXPERTS.reference(inputs, problem), dict[str, Run](), dict[str, ArmResult]()
    for name in (name for name in ARMS if name in names):
        if name in DENSE_ARMS and problem["dtype"] in QUANTISED_WORDS:
            others[name] = ArmResult(absent=f"takes weights in 16 bits, not in {problem['dtype']}")
            continue
        try:
            run = ARMS[name](inputs, problem)
            wrong = EXPERTS.compare({"out": run(inputs)}, expected, problem)
        except ImportError as error:
            others[name] = ArmResult(absent=str(error))
        except Exception as error:  # an engine of another version may fail in any way
            others[name] = ArmResult(absent=f"{type(error).__name__}: {' '.join(str(error).split())}")
        else:
            if wrong:
                others[name] = ArmResult(wrong=wrong)
            else:
                runs[name] = run
    return runs, others


def block_call(model: Gemma4Config, inputs: RotatingInputs, problem: Problem) -> Callable[[int], object]:
    """The MoE block of each layer over the layer's weights, on one residual."""
    blocks = [make_block(model, copy, problem) for copy in inputs.copies]
    residual = inputs[0]["hidden"]

    def run(call: int) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = blocks[call % len(blocks)](residual)
        return out

    return run


def make_block(model: Gemma4Config, inputs: Tensors, problem: Problem) -> Gemma4MoE:
    hidden, call = inputs["hidden"], call_of(inputs, problem)
    block = Gemma4MoE(model, device="meta", dtype=hidden.dtype)
    if isinstance(call.gate_up, QuantisedWeights) and isinstance(call.down, QuantisedWeights):
        block.experts.hold(call.gate_up, call.down)
    else:
        block.experts.gate_up_proj = torch.nn.Parameter(inputs["gate_up"], requires_grad=False)
        block.experts.down_proj = torch.nn.Parameter(inputs["down"], requires_grad=False)
    for module in (block.router, block.pre_feedforward_layernorm_2, block.post_feedforward_layernorm_2):
        module.to_empty(device=hidden.device)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.02)
    return block


def bytes_moved(inputs: Tensors, in_use: int) -> int:
    per_expert = sum(tensor[0].nbytes for tensor in weights_of(inputs))
    routing = inputs["weights"].nbytes + inputs["ids"].nbytes
    return in_use * per_expert + 2 * inputs["hidden"].nbytes + routing


def timed_arm(result: BatchResult, name: str, copy_us: float, bound_us: float) -> ArmResult:
    sampled = DEFAULT if name == BASELINE else name
    times = [sample.time_us for sample in result.samples if sample.name == sampled and sample.used]
    estimate = bootstrap_median(times, seed=SETTINGS.seed, confidence=SETTINGS.confidence)
    return ArmResult(
        time_us=(estimate.median, estimate.low, estimate.high),
        copy_share=copy_us / estimate.median,
        roofline_share=bound_us / estimate.median,
    )


def render_shares(results: Sequence[ProblemResult], arguments: argparse.Namespace) -> Table:
    """Each dtype's time by `auto` as a share of bf16's, at each token count."""
    times = {
        (str(result.problem["dtype"]), int(result.problem["tokens"])): arm.time_us[0]
        for result in results
        if (arm := result.arms.get(AUTO)) is not None and arm.time_us is not None
    }
    others = [dtype for dtype in arguments.dtype if dtype != DENSE]

    def share(dtype: str, tokens: int) -> str:
        time, dense = times.get((dtype, tokens)), times.get((DENSE, tokens))
        return "-" if time is None or dense is None else f"{time / dense:.2f}"

    return Table(
        title=f"{AUTO} as a share of {DENSE}'s time",
        columns=tuple(Column(heading, justify="right") for heading in ("tokens", *others)),
        rows=tuple((str(each), *(share(dtype, each) for dtype in others)) for each in arguments.tokens),
    )


def render(results: Sequence[ProblemResult], machine: Machine, dtype: str) -> Table:
    names = [name for name in (*ARMS, BLOCK) if any(name in result.arms for result in results)]
    notes = {
        f"{name}: {arm.wrong or arm.absent}"
        for result in results
        for name, arm in result.arms.items()
        if arm.wrong or arm.absent
    }
    rates = (
        f"{machine.copy_bytes_per_s / 1e12:.2f} TB/s copied, {machine.flops_per_s / 1e12:.0f} TFLOP/s dense"
    )
    return Table(
        title=f"experts of Gemma 4 26B-A4B, {dtype}, on {torch.cuda.get_device_name()}",
        columns=tuple(
            Column(heading, justify="right") for heading in ("tokens", "experts", "layers", "memory", *names)
        ),
        rows=tuple(cells(result, names) for result in results),
        notes=(f"microseconds, share of copy, share of roofline; measured here: {rates}", *sorted(notes)),
    )


def cells(result: ProblemResult, names: Sequence[str]) -> tuple[str, ...]:
    counts = (result.problem["tokens"], result.experts_in_use, result.layers)
    memory = "-" if result.memory_share is None else f"{result.memory_share:.3f}"
    return (*map(str, counts), memory, *(arm_cell(result.arms.get(name)) for name in names))


def arm_cell(arm: ArmResult | None) -> str:
    if arm is None or arm.time_us is None:
        return "wrong" if arm and arm.wrong else "-"
    return f"{arm.time_us[0]:.1f} {arm.copy_share:.0%} {arm.roofline_share:.0%}"


def write_json(path: Path, results: Sequence[ProblemResult], machine: Machine) -> None:
    import triton

    content = {
        "schema": "workbench.bench-experts/1",
        "evidence": "measured",
        "device_name": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "triton": triton.__version__},
        "machine": dataclasses.asdict(machine),
        "settings": dataclasses.asdict(SETTINGS),
        "results": [dataclasses.asdict(result) for result in results],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
