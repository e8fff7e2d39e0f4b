"""Two results to compare, small and made up."""

from __future__ import annotations

import json
import math

import numpy as np

from moe_kernels.tuned import Row, Run, TunedFile, serialise
from workbench.bench.figures import of_repeats, single
from workbench.bench.rows import BenchFile, BenchRow, write_bench

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
    """What `trace summary --json` writes, as far as a gate reads it."""
    draw = np.random.default_rng(seed)
    spans = [step_us * math.exp(each) for each in draw.normal(0, noise, count)]
    spread = {"median": float(np.median(spans)), "low": min(spans), "high": max(spans), "count": count}
    classes = [{"name": "routing", "launches": 30.0, "time_us": {**spread, "median": 90.0}}]
    record = {
        "schema": "workbench.trace-summary/1",
        "basis": "gpu",
        "device_names": ["NVIDIA B200"],
        "reliable": True,
        "reasons": [],
        "layers": {"count": 30},
        "per_step": {
            "count": count,
            "span_us": spread,
            "busy_us": spread,
            "period_us": None,
            "classes": classes,
        },
        "steps": [
            {"span_us": each, "busy_us": each, "classes": [{"name": "routing", "time_us": 90.0}]}
            for each in spans
        ],
        "kernels": [{"name": name, "launches_per_step": 30.0} for name in kernels],
        **changes,
    }
    path.write_text(json.dumps(record))
    return path


def profile(path, *, step_us=None, failures=(), batch=1):
    """What `profile` writes to `summary.json`, as far as a gate reads it."""
    arms = {}
    for name, time in (step_us or {"split": 4200.0, "fused": 4000.0}).items():
        trace = json.loads(summary(path.with_suffix(".trace"), step_us=time).read_text())
        spread = {"median": time, "low": 0.999 * time, "high": 1.001 * time, "count": 3}
        arms[name] = {"liveness": [], "summary": trace, "step_us": None if failures else spread}
    record = {
        "schema": "workbench.profile/1",
        "model": "tiny",
        "depth": "6 layers",
        "batch": batch,
        "context": 8,
    }
    record |= {
        "graph": True,
        "device": "cuda",
        "passed": not failures,
        "failures": list(failures),
        "arms": arms,
    }
    path.write_text(json.dumps(record))
    return path
