"""Measures what the host does for a decode step of `bench run`, with the GPU's part stubbed.

    python benchmarks/host.py [--batches 1 16 64] [--draft-tokens 4] [--json FILE]

All of it stands between two steps of the GPU and is counted in TPOT. The model has all layers, experts and modules of
26b-a4b at tiny widths; replaying a captured graph does nothing and returns tensors that are ready. What is left runs
on tiny CPU tensors, and an operation on those stands for a launch. Aim: at most 50 us a step without drafts; exit code
1 above. The clock is that of the thread, so that other processes do not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from workbench.base.files import write_whole
from workbench.bench.engine import NoEnergy
from workbench.bench.gemma4.engine import Gemma4Engine
from workbench.bench.gemma4.models import NamedModel, open_assistant
from workbench.bench.timing import RunTiming, time_run
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.models.gemma4.graph import CapturedCall
from workbench.models.gemma4.presets import PRESETS
from workbench.report.table import Column, Table, print_table

MOST_US = 50.0
PRESET = "26b-a4b"
BATCHES = (1, 16, 64)
INPUT_TOKENS, OUTPUT_TOKENS = 4, 128
# Of the tiny preset; what makes modules, layers and experts stays as it is.
WIDTHS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "num_global_key_value_heads",
    "head_dim",
    "global_head_dim",
    "moe_intermediate_size",
)
# Where sessions and drafters capture.
CAPTURES = ("workbench.bench.gemma4.session.captured", "workbench.models.gemma4.speculative.captured")


class ThreadClock:
    """The thread's own time."""

    def now(self) -> float:
        """Seconds on the core."""
        return time.thread_time()


class ReadyGraph:
    """A captured graph whose replay takes no time."""

    def replay(self) -> None:
        """Leaves the outputs as they are."""


class StubbedCall(CapturedCall):
    """All that the host does for a captured call, and nothing of what the GPU does."""

    def __init__(self, function: Callable[..., Any], *examples: Tensor) -> None:
        self._inputs = tuple(example.clone() for example in examples)
        self._graph = ReadyGraph()  # type: ignore[assignment]
        self._outputs = function(*self._inputs)


def stubbed(function: Callable[..., Any], *examples: Tensor, enabled: bool) -> StubbedCall:
    """In the place of `captured`."""
    assert enabled
    return StubbedCall(function, *examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTime:
    """What the host takes for a step.

    Attributes:
        step_us: median over the runs of a run's mean.
        runs_us: of each run.
    """

    batch: int
    draft_tokens: int
    step_us: float
    runs_us: tuple[float, ...]

    @property
    def is_missed(self) -> bool:
        return not self.draft_tokens and self.step_us > MOST_US


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    model = narrow_model()
    results: list[HostTime] = []
    modules = sum(1 for _ in model.modules())
    for draft_tokens in (0, arguments.draft_tokens):
        for batch in arguments.batches:
            print(f"timing batch {batch}, {draft_tokens} tokens drafted", file=sys.stderr, flush=True)
            results.append(measure(model, batch, draft_tokens, arguments.repeats))
            if arguments.json:
                write_json(arguments.json, results, modules)
    print_table(render(results, modules))
    return int(any(result.is_missed for result in results))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, metavar="B")
    parser.add_argument("--draft-tokens", type=int, default=4, metavar="K")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs of each, one more warms up")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    for name, value in vars(arguments).items():
        if name != "json" and min(value if isinstance(value, Sequence) else [value]) < 1:
            parser.error(f"--{name.replace('_', '-')}: must be at least 1")
    return arguments


def narrow_model() -> Gemma4ForCausalLM:
    """The modules of 26b-a4b at the widths of the tiny model."""
    config = replace(Gemma4Config.preset(PRESET), **{name: PRESETS["tiny"][name] for name in WIDTHS})
    return Gemma4ForCausalLM.random(config, "cpu", torch.float32)


def measure(model: Gemma4ForCausalLM, batch: int, draft_tokens: int, repeats: int) -> HostTime:
    """Runs of a session whose captured calls are stubbed."""
    assistant = open_assistant(model, None, 0) if draft_tokens else None
    shape = {"batch": batch, "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    with patch(CAPTURES[0], stubbed), patch(CAPTURES[1], stubbed):
        engine = Gemma4Engine(NamedModel(model, PRESET), assistant, graph=True)
        with engine.open("split", **shape, draft_tokens=draft_tokens) as session:
            runs = [
                step_us(
                    time_run(
                        session,
                        batch=batch,
                        output_tokens=OUTPUT_TOKENS,
                        seed=0,
                        timeout_s=600,
                        clock=ThreadClock(),
                        energy=NoEnergy(),
                    ),
                    batch,
                )
                for _ in range(repeats + 1)
            ][1:]
    return HostTime(
        batch=batch, draft_tokens=draft_tokens, step_us=statistics.median(runs), runs_us=tuple(runs)
    )


def step_us(timing: RunTiming, batch: int) -> float:
    """Microseconds a step after the prefill; stubbed drafts are accepted alike for all sequences of a batch."""
    steps = timing.drafts / batch if timing.drafts else OUTPUT_TOKENS - 1
    return 1e6 * (timing.duration_s - min(timing.ttft_s)) / steps


def render(results: Sequence[HostTime], modules: int) -> Table:
    return Table(
        title=f"host time of a decode step, {modules} modules of {PRESET}, GPU stubbed, torch {torch.__version__}",
        columns=tuple(
            Column(heading, justify="right") for heading in ("batch", "tokens drafted", "us a step", "aim")
        ),
        rows=tuple(
            (
                str(result.batch),
                str(result.draft_tokens or "-"),
                f"{result.step_us:.1f} ({min(result.runs_us):.1f}..{max(result.runs_us):.1f})",
                "-" if result.draft_tokens else "missed" if result.is_missed else "met",
            )
            for result in results
        ),
        notes=(
            "measured on a CPU; the median of runs, and the fastest and slowest",
            f"aim: at most {MOST_US:g} us a step without drafts",
        ),
    )


def write_json(path: Path, results: Sequence[HostTime], modules: int) -> None:
    content = {
        "schema": "workbench.bench-host/1",
        "evidence": "measured",
        "versions": {"torch": torch.__version__},
        "modules": modules,
        "most_us": MOST_US,
        "results": [asdict(result) for result in results],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
