"""Two results to compare, small and made up."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np

from moe_kernels.tuned import Row, Run, TunedFile, serialise
from workbench.bench.figures import of_repeats, single
from workbench.bench.rows import BenchFile, BenchRow, write_bench
from workbench.timeline.idle import Gaps
from workbench.timeline.layers import Layers
from workbench.timeline.record import summary_record
from workbench.timeline.spread import Spread
from workbench.timeline.summary import ClassPerStep, ClassShare, KernelShare, PerStep, Stretch, Summary
from workbench.timeline.trace import GraphLaunches, KernelLaunches

LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


def winners(
    folder,
    factors=None,
    *,
    seed=0,
    noise=0.003,
    evidence="measured",
    ladder=LADDER,
    device="NVIDIA_B200",
    source="0" * 16,
    versions=None,
    interval=0.006,
    default=1.0,
    measure=None,
):
    """A results file whose times scatter around a truth; `factors` slow rows down by their tokens."""
    draw = np.random.default_rng(seed)
    rows = {}
    for tokens in ladder:
        time = 2.0 * tokens**0.5 * (factors or {}).get(tokens, 1.0) * math.exp(draw.normal(0, noise))
        base = 2.4 * tokens**0.5 * default * math.exp(draw.normal(0, noise))
        rows[tokens] = Row(
            run="r",
            config={"num_warps": 4},
            evidence=evidence,
            time_us=time,
            ci_us=None if interval is None else (time * (1 - interval), time * (1 + interval)),
            default_time_us=base,
            measure=measure or {"routing": "uniform"},
        )
    file = TunedFile(
        kernel="routing",
        device=device,
        device_name=device.replace("_", " "),
        arch="sm_100",
        problem={"num_experts": 128, "top_k": 8, "dtype": "bf16"},
        runs={"r": Run(source_hash=source, versions=versions or {"triton": "3.9.0"}, date="2026-01-01")},
        rows=rows,
    )
    path = folder / device / "routing" / "E=128,K=8,dtype=bf16.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(serialise(file))
    return path


def all_rows(factor):
    return dict.fromkeys(LADDER, factor)


def bench(
    path, *, tpot=8.0, seed=0, noise=0.004, arms=("split", "fused"), loads=(1, 8, 32), repeats=5, **changes
):
    draw = np.random.default_rng(seed)
    rows = []
    for arm in arms:
        for load in loads:
            times = [tpot * math.exp(each) for each in draw.normal(0, noise, repeats)]
            fields = {
                "device": "NVIDIA_B200",
                "model": "26b-a4b",
                "workload": "chat",
                "versions": {"torch": "2.13.0"},
            }
            metrics = {
                "tpot_p50_ms": of_repeats(times) if repeats > 1 else single(times[0]),
                "output_tokens_per_s": of_repeats([load * 1e3 / each for each in times]),
            }
            fields |= {"source": "workbench", "arm": arm, "concurrency": load, "metrics": metrics, **changes}
            rows.append(BenchRow(**fields))
    write_bench(path, BenchFile(schema="workbench.bench/1", origin={}, rows=tuple(rows)))
    return path


def a_row(path, **changes):
    """A file with one bench row."""
    fields = {"source": "workbench", "arm": "fused", "device": "NVIDIA_B200", "concurrency": 8}
    rows = (BenchRow(**{**fields, "metrics": {"tpot_p50_ms": of_repeats([8.0, 8.01, 8.02])}, **changes}),)
    write_bench(path, BenchFile(schema="workbench.bench/1", origin={}, rows=rows))
    return path


def summary(path, *, step_us=4000.0, seed=0, noise=0.004, count=16, kernels=("routing_kernel",), **changes):
    """What `trace summary --json` writes."""
    draw = np.random.default_rng(seed)
    spans = [step_us * math.exp(each) for each in draw.normal(0, noise, count)]
    spread = Spread(float(np.median(spans)), min(spans), max(spans), count)
    routing = Spread(90.0, spread.low, spread.high, count)
    shares = {"exclusive_us": 90.0, "share_busy": 0.02, "share_span": 0.02}
    whole = stretch("all", sum(spans), shares)
    found = Summary(
        file="trace.json",
        basis="gpu",
        device_names=("NVIDIA B200",),
        total=whole,
        gaps=Gaps(0, 0.0, 0.0, 0.0, 0.0, 0.0, launch_bound=False),
        coverage=1.0,
        graphs=GraphLaunches(0, 0),
        kernel_launches=KernelLaunches(0, 0),
        layers=Layers(30, "names of layers in the trace"),
        per_step=PerStep(
            count=count,
            source="ProfilerStep annotations",
            span_us=spread,
            busy_us=spread,
            period_us=None,
            classes=(ClassPerStep("routing", 30.0, 1.0, routing, **shares),),
        ),
        steps=tuple(stretch(f"ProfilerStep#{number}", each, shares) for number, each in enumerate(spans)),
        devices=(),
        kernels=tuple(
            KernelShare(
                name=name,
                kernel_class="routing",
                launches=30 * count,
                time_us=90.0 * count,
                share_busy=0.02,
                share_span=0.02,
                launches_per_step=30.0,
                launches_per_layer=1.0,
                step_us=routing,
            )
            for name in kernels
        ),
        reliable=True,
        reasons=(),
        notes=(),
    )
    path.write_text(json.dumps({**msgspec.to_builtins(summary_record(found)), **changes}))
    return path


def stretch(name, span_us, shares):
    classes = (ClassShare("routing", 30, 90.0, **shares),)
    return Stretch(name, 0.0, 30, busy_us=span_us, span_us=span_us, classes=classes)


def profile(path, *, step_us=None, failures=(), batch=1):
    """What `profile` writes to `summary.json`."""
    arms = {}
    for name, time in (step_us or {"split": 4200.0, "fused": 4000.0}).items():
        trace = json.loads(summary(path.with_suffix(".trace"), step_us=time).read_text())
        spread = {"median": time, "low": 0.999 * time, "high": 1.001 * time, "count": 3}
        arms[name] = {"description": name, "trace": f"{name}.json.gz", "liveness": [], "summary": trace}
        arms[name]["step_us"] = None if failures else spread
    record = {
        "schema": "workbench.profile/1",
        "model": "tiny",
        "depth": "6 layers",
        "batch": batch,
        "context": 8,
        "steps": 8,
        "rounds": 3,
        "graph": True,
        "device": "cuda",
        "seed": 0,
        "basis": "gpu",
        "device_names": ["NVIDIA B200"],
        "evidence": "measured",
        "weights": "random",
        "passed": not failures,
        "failures": list(failures),
        "notes": [],
        "tuned_from": {},
        "arms": arms,
        "correctness": [],
        "speedups": None,
        "diffs": [],
    }
    path.write_text(json.dumps(record))
    return path
