"""Times a decode step of the tiny model on a CPU, beside its own torch operations and beside transformers.

    python benchmarks/decode.py [--batch 1 4] [--layers N] [--rounds N] [--json FILE]

All three are measured in turns in one process on one core: windows of our steps, of the steps of transformers' model
with the same weights and a StaticCache, and of our steps under torch.profiler, whose self times are summed. Ratios are
of windows that follow one another; the table shows their medians and quartiles. Both models choose the same tokens
first, or nothing is timed.

Exit code 1 where a median misses its aim: a step under 1.5 times the sum of its operations, and at least 1.5 times as
fast as transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

# Before torch reads them: one core is one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from transformers import Gemma4ForCausalLM as HfModel
from transformers import Gemma4TextConfig as HfTextConfig
from transformers import StaticCache

from workbench.base.files import write_whole
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.report.table import Column, Table, print_table

PROMPT, TOKENS, STEPS_IN_WINDOW = 32, 64, 16
# Fewer under the profiler, which takes long to sort its events.
PROFILED_STEPS = 3
MOST_OVERHEAD, LEAST_SPEEDUP = 1.5, 1.5

Step = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """One batch size; times in microseconds a step, ratios as (lower quartile, median, upper quartile)."""

    batch: int
    depth: str
    step_us: float
    operations_us: float
    transformers_us: float
    overhead: tuple[float, float, float]
    speedup: tuple[float, float, float]

    @property
    def missed(self) -> bool:
        return self.overhead[1] >= MOST_OVERHEAD or self.speedup[1] < LEAST_SPEEDUP


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    config = Gemma4Config.preset("tiny")
    config = config if arguments.layers is None else config.with_layers(arguments.layers)
    model = Gemma4ForCausalLM.random(config, seed=0).eval()
    theirs = same_model_of_transformers(model)
    results: list[BatchResult] = []
    for batch in arguments.batch:
        results.append(measure(model, theirs, batch, arguments.rounds))
        if arguments.json:
            write_json(arguments.json, results)
    print_table(render(results))
    return int(any(result.missed for result in results))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=(1, 4), metavar="B")
    parser.add_argument("--layers", type=int, metavar="N", help="cuts the model to its first N layers")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if min(*arguments.batch, arguments.rounds, arguments.layers or 1) < 1:
        parser.error("--batch, --rounds and --layers: must be at least 1")
    return arguments


def same_model_of_transformers(model: Gemma4ForCausalLM) -> HfModel:
    config = model.config
    names = (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "num_global_key_value_heads", "head_dim", "global_head_dim"),
        *("attention_k_eq_v", "sliding_window", "max_position_embeddings", "num_experts", "top_k_experts"),
        *("moe_intermediate_size", "final_logit_softcapping", "hidden_size_per_layer_input"),
    )
    fields = {name: getattr(config, name) for name in names}
    if config.layer_types[-1] != "full_attention":
        raise SystemExit(f"error: --layers: transformers' models end with full attention, got {config.depth}")
    hf = HfTextConfig(**fields, layer_types=list(config.layer_types), enable_moe_block=True)
    theirs = HfModel(hf).eval()
    theirs.load_state_dict(model.state_dict())
    return theirs


@torch.inference_mode()
def measure(model: Gemma4ForCausalLM, theirs: HfModel, batch: int, rounds: int) -> BatchResult:
    ids = torch.randint(
        0, model.config.vocab_size, (batch, PROMPT), generator=torch.Generator().manual_seed(0)
    )
    check_same_tokens(model, theirs, ids)
    ours, hf = partial(our_start, model, ids), partial(their_start, theirs, ids)
    steps, baseline, operations = [], [], []
    for _ in range(rounds):
        steps.append(step_us(ours))
        operations.append(operations_us(ours))
        baseline.append(step_us(hf))
    return BatchResult(
        batch=batch,
        depth=model.config.depth,
        step_us=statistics.median(steps),
        operations_us=statistics.median(operations),
        transformers_us=statistics.median(baseline),
        overhead=quartiles([step / sum_ for step, sum_ in zip(steps, operations, strict=True)]),
        speedup=quartiles([other / step for step, other in zip(steps, baseline, strict=True)]),
    )


def check_same_tokens(model: Gemma4ForCausalLM, theirs: HfModel, ids: Tensor) -> None:
    expected = theirs.generate(ids, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
    if not torch.equal(model.generate(ids, TOKENS), expected):
        raise SystemExit("error: the two models do not choose the same tokens; nothing was timed")


def our_start(model: Gemma4ForCausalLM, ids: Tensor) -> Step:
    """Reads the prompts; gives a function that decodes one token more and chooses the next."""
    cache = model.new_cache(len(ids), PROMPT + TOKENS)
    tokens = model.prefill(ids, cache=cache).argmax(-1, keepdim=True)

    def step() -> None:
        nonlocal tokens
        logits, _ = model.step(tokens, cache)
        cache.lengths += 1
        tokens = logits.argmax(-1)

    return step


def their_start(theirs: HfModel, ids: Tensor) -> Step:
    cache = StaticCache(config=theirs.config, max_cache_len=PROMPT + TOKENS)
    tokens = theirs(ids, past_key_values=cache, logits_to_keep=1).logits.argmax(-1)

    def step() -> None:
        nonlocal tokens
        tokens = theirs(tokens, past_key_values=cache).logits.argmax(-1)

    return step


def step_us(start: Callable[[], Step]) -> float:
    step = start()
    begin = time.perf_counter()
    for _ in range(STEPS_IN_WINDOW):
        step()
    return (time.perf_counter() - begin) / STEPS_IN_WINDOW * 1e6


def operations_us(start: Callable[[], Step]) -> float:
    step = start()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED_STEPS):
            step()
    return sum(event.self_cpu_time_total for event in profiled.key_averages()) / PROFILED_STEPS


def quartiles(ratios: Sequence[float]) -> tuple[float, float, float]:
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, median, high = statistics.quantiles(ratios, n=4)
    return low, median, high


def render(results: Sequence[BatchResult]) -> Table:
    headings = (
        "batch",
        "step us",
        "its ops us",
        "transformers us",
        "step / ops",
        "transformers / step",
        "aim",
    )
    return Table(
        title=f"decode step of the tiny model, {results[0].depth}, fp32, one core, torch {torch.__version__}",
        columns=tuple(Column(heading, justify="right") for heading in headings),
        rows=tuple(cells(result) for result in results),
        notes=(
            "measured; medians of windows in turns, ratios with quartiles",
            f"aims: step / ops under {MOST_OVERHEAD}, transformers / step at least {LEAST_SPEEDUP}",
        ),
    )


def cells(result: BatchResult) -> tuple[str, ...]:
    times = (result.step_us, result.operations_us, result.transformers_us)
    ratios = (
        f"{middle:.2f} ({low:.2f}..{high:.2f})" for low, middle, high in (result.overhead, result.speedup)
    )
    return (
        str(result.batch),
        *(f"{time_us:.0f}" for time_us in times),
        *ratios,
        "missed" if result.missed else "met",
    )


def write_json(path: Path, results: Sequence[BatchResult]) -> None:
    content = {
        "schema": "workbench.bench-decode/1",
        "evidence": "measured",
        "versions": {"torch": torch.__version__},
        "results": [asdict(result) for result in results],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
