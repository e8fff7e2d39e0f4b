"""Checks every kernel against float64 on fresh problems, configs and inputs, on the CUDA GPU at hand.

    python benchmarks/correct.py [--problems 40] [--seed 0] [--json FILE]

Problems are drawn around those of Gemma 4 with odd sizes among them, configs from each kernel's own parameters. A
config runs on poisoned outputs, twice: what differs from the reference, is left unwritten, changes an input or has
other bits the second time is wrong. The reference computes in float64 from the same inputs. Exit code 1 where
something is wrong, 2 without a CUDA GPU; with TRITON_INTERPRET=1 small problems run in Triton's interpreter instead.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from triton import knobs

from moe_kernels.registry import TUNABLES
from moe_kernels.tunable import Config, Problem, Tensors, TunableKernel
from workbench.base.files import write_whole
from workbench.measure.inputs import draw_inputs
from workbench.report.table import Column, Table, print_table
from workbench.sweep.stages.interpreter import mend_interpreter
from workbench.sweep.stages.verify import poison, verify

DRAWS_OF_A_CONFIG = 200
DEVICE = "cpu" if knobs.runtime.interpret else "cuda"
BLOCKS = {"BLOCK_SIZE_M": (16, 32, 64, 128), "BLOCK_SIZE_N": (16, 32, 64, 128), "BLOCK_SIZE_K": (32, 64, 128)}
CHOICES: Mapping[str, tuple[int, ...]] = {
    **BLOCKS,
    "DOWN_BLOCK_SIZE_N": (8, 16, 32, 64),
    "GROUP_SIZE_M": (1, 8, 32),
    "num_warps": (1, 2, 4, 8),
    "num_stages": (1, 2, 3, 4),
    "tokens_per_program": (1, 2, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One config on one problem, and what is wrong with it."""

    kernel: str
    problem: Problem
    config: Config
    wrong: str | None


def main() -> int:
    arguments = parse_arguments()
    if DEVICE == "cpu":
        mend_interpreter()
    elif not torch.cuda.is_available():
        print("error: no CUDA GPU: torch sees none, and kernels are checked on one", file=sys.stderr)
        return 2
    chance = random.Random(arguments.seed)
    checks: list[Check] = []
    for name in TUNABLES:
        checks += check_kernel(TUNABLES[name], arguments.problems, chance)
        if arguments.json:
            write_json(arguments.json, checks)
    print_table(render(checks))
    return int(any(check.wrong for check in checks))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=40, metavar="N", help="of each kernel")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31), metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def check_kernel(kernel: TunableKernel, problems: int, chance: random.Random) -> Iterator[Check]:
    for number in range(problems):
        problem = draw_problem(kernel, chance)
        config = draw_config(kernel, problem, chance)
        print(f"{kernel.name} {number + 1}/{problems}: {problem}", file=sys.stderr, flush=True)
        yield Check(
            kernel=kernel.name, problem=problem, config=config, wrong=check(kernel, problem, config, chance)
        )


def check(kernel: TunableKernel, problem: Problem, config: Config, chance: random.Random) -> str | None:
    seed = chance.randrange(2**31)
    try:
        return verify(kernel, problem, config, seeds=(seed, seed + 1), device=DEVICE) or against_float64(
            kernel, problem, config, seed
        )
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def against_float64(kernel: TunableKernel, problem: Problem, config: Config, seed: int) -> str | None:
    """The same launches twice from other poison, compared bit by bit, then with the reference in float64."""
    inputs = draw_inputs(kernel, problem, seed=seed, device=DEVICE)
    first, second = (run(kernel, inputs, problem, config, odd=odd) for odd in (False, True))
    widened = {
        name: tensor.double() if tensor.is_floating_point() and tensor.element_size() > 1 else tensor
        for name, tensor in inputs.items()
    }
    expected = kernel.reference(widened, problem)
    for name in expected:
        if not torch.equal(first[name].view(torch.uint8), second[name].view(torch.uint8)):
            return f"{name}: other bits in the second run"
    rounded = {
        name: tensor.to(torch.float32) if tensor.dtype is torch.float64 else tensor
        for name, tensor in expected.items()
    }
    return kernel.compare(first, rounded, problem)


def run(kernel: TunableKernel, inputs: Tensors, problem: Problem, config: Config, *, odd: bool) -> Tensors:
    outputs = kernel.make_outputs(problem, torch.device(DEVICE))
    for tensor in outputs.values():
        poison(tensor, odd=odd)
    for launch in kernel.launches(inputs, outputs, problem, config):
        launch.run()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return outputs


def draw_problem(kernel: TunableKernel, chance: random.Random) -> Problem:
    experts = chance.choice((1, 5, 8, 64, 100, 128, 256))
    draws: Mapping[str, Callable[[], int | str]] = {
        "num_experts": lambda: experts,
        "top_k": lambda: chance.randint(1, min(8, experts)),
        "hidden_size": lambda: chance.choice((48, 176, 264, 704, 1000)),
        "intermediate_size": lambda: chance.choice((40, 88, 176, 352, 704)),
        "dtype": lambda: chance.choice(
            ("bf16", "fp16", "fp32") if kernel.name == "routing" else ("bf16", "fp16")
        ),
        "tokens": lambda: chance.choice((1, 2, 3, 7, 16, 33, 64, 129, 512, 1500)),
    }
    problem = {axis.name: draws[axis.name]() for axis in kernel.axes if axis.name in draws}
    # The interpreter takes up to a second a program.
    return {**problem, **small(problem)} if DEVICE == "cpu" else problem


def small(problem: Problem) -> dict[str, int]:
    limits = {"num_experts": 4, "top_k": 2, "hidden_size": 88, "intermediate_size": 40, "tokens": 3}
    return {name: min(int(problem[name]), most) for name, most in limits.items() if name in problem}


def draw_config(kernel: TunableKernel, problem: Problem, chance: random.Random) -> Config:
    """A config that the kernel can take; its default where none is found among many."""
    for _ in range(DRAWS_OF_A_CONFIG):
        config = {
            each.name: chance.choice(each.choices or CHOICES.get(each.name, (each.default,)))  # type: ignore[arg-type]
            for each in kernel.parameters
        }
        if kernel.why_rejected(problem, config) is None:
            return config
    return kernel.default_config


def device_name() -> str:
    return torch.cuda.get_device_name() if DEVICE == "cuda" else "Triton's interpreter"


def render(checks: list[Check]) -> Table:
    names = tuple(dict.fromkeys(check.kernel for check in checks))
    rows = []
    for name in names:
        own = [check for check in checks if check.kernel == name]
        rows.append((name, str(len(own)), str(sum(check.wrong is not None for check in own))))
    wrong = tuple(f"{c.kernel} {c.problem} {c.config}: {c.wrong}" for c in checks if c.wrong)
    return Table(
        title=f"kernels against float64 on {device_name()}",
        columns=(Column("kernel"), Column("checked", justify="right"), Column("wrong", justify="right")),
        rows=tuple(rows),
        notes=wrong,
    )


def write_json(path: Path, checks: list[Check]) -> None:
    import triton

    content = {
        "schema": "workbench.bench-correct/1",
        "evidence": "measured",
        "device_name": device_name(),
        "versions": {"torch": torch.__version__, "triton": triton.__version__},
        "checks": [asdict(check) for check in checks],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
