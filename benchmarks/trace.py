"""Times `workbench trace summary` on a generated trace, start-up included, beside HolisticTraceAnalysis's load of it.

    python benchmarks/trace.py [--mb 100] [--hta-python PATH]

Aims on one core: under 2 s, under 0.6 GiB, and at least 10 times faster than HolisticTraceAnalysis only loads the file.
The trace is made up: its kernel names and proportions are those of MoE decode, its times mean nothing.
HolisticTraceAnalysis runs in the Python that PATH names, by default this one; without it only ours is timed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

LIMIT_S, LIMIT_GIB, LIMIT_RATIO = 2.0, 0.6, 10.0
LAYERS = 30
# A layer of split-routing decode: kernel and microseconds.
LAYER = (
    (
        "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*, c10::BFloat16 const*, float, int, int)",
        3,
    ),
    ("nvjet_tst_64x64_64x16_2x1_2cta_v_bz_bias_TNT", 8),
    (
        "void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*, int, long, long)",
        3,
    ),
    (
        "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, unsigned char>(__nv_bfloat16 const*, long)",
        3,
    ),
    ("fmhaSm100aKernel_QkvE4m3OBfloat16H64PagedKvCausalP16VarSeqQ128Kv128PersistentContext", 14),
    ("nvjet_tst_64x16_64x16_2x4_2cta_h_bz_bias_TNT", 6),
    (
        "void at::native::sbtopk::gatherTopK<c10::BFloat16, unsigned int, 2, false>(at::cuda::TensorInfo<...>)",
        6,
    ),
    (
        "void at::native::bitonicSortKVInPlace<2, -1, 16, 16, c10::BFloat16, long>(at::cuda::TensorInfo<...>)",
        5,
    ),
    (
        "void at::native::(anonymous namespace)::softmax_warp_forward<float, float, float, 3, false, false>(...)",
        3,
    ),
    ("void at::native::index_elementwise_kernel<128, 4, at::native::gpu_index_kernel<...>>(long, ...)", 3),
    ("fused_moe_kernel", 90),
    ("void vllm::act_and_mul_kernel<c10::BFloat16, vllm::gelu_tanh_kernel>(c10::BFloat16*, int)", 4),
    ("fused_moe_kernel", 60),
    ("void vllm::moe::moe_sum_kernel<c10::BFloat16, 8>(c10::BFloat16*, c10::BFloat16 const*, int)", 4),
)
OPS = (
    "aten::to",
    "aten::linear",
    "aten::addmm",
    "aten::topk",
    "aten::softmax",
    "aten::index",
    "vllm::moe_forward",
)
# The peak comes from getrusage, which needs no package in the measured Python.
MEASURE = """
import os, resource, subprocess, sys, time
os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)
"""
HTA = """
import sys, time
from hta.common.trace import Trace
start = time.perf_counter()
Trace(trace_files={0: sys.argv[2]}, trace_dir=sys.argv[1]).parse_traces(use_multiprocessing=False)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=100, help="size of the JSON, MB")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, the median counts")
    parser.add_argument(
        "--hta-python", default=sys.executable, help="a Python that has HolisticTraceAnalysis"
    )
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json.gz"
        events = write_trace(path, arguments.mb * 1_000_000)
        print(f"{arguments.mb} MB of JSON, {events:,} events, {path.stat().st_size / 1e6:.1f} MB packed")
        ours = report_ours(path, arguments.runs)
        report_hta(path, arguments.hta_python, arguments.runs, ours)


def report_ours(path: Path, runs: int) -> float:
    command = [sys.executable, "-m", "workbench", "trace", "summary", str(path), "--json"]
    measured = [measure(command) for _ in range(runs)]
    wall, core, peak = (statistics.median(column) for column in zip(*measured, strict=True))
    verdict = "met" if wall < LIMIT_S and peak < LIMIT_GIB else "MISSED"
    print(
        f"workbench trace summary: {wall:.2f} s ({core:.2f} s of the core), {peak:.2f} GiB, start-up included"
    )
    print(f"  aim: {LIMIT_S:g} s and {LIMIT_GIB:g} GiB: {verdict}")
    return wall


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall time and time on the core, seconds, and the peak memory, GiB, of a process on one core."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True
    )
    code, *figures = done.stdout.split()
    if code != "0":
        raise SystemExit(f"failed: {' '.join(command)}")
    wall, core, peak = map(float, figures)
    return wall, core, peak


def report_hta(path: Path, python: str, runs: int, ours: float) -> None:
    command = [python, "-c", HTA, str(path.parent), path.name]
    if subprocess.run([python, "-c", "import hta"], check=False, capture_output=True).returncode:
        print("HolisticTraceAnalysis: not installed in that Python, so there is nothing to compare with")
        return
    core = {sorted(os.sched_getaffinity(0))[-1]}
    loads = []
    for _ in range(runs):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        loads.append(float(done.stdout.split()[-1]))
    theirs = statistics.median(loads)
    verdict = "met" if theirs / ours >= LIMIT_RATIO else "MISSED"
    print(
        f"HolisticTraceAnalysis, load only: {theirs:.2f} s without its start-up; ours takes {theirs / ours:.1f}x less"
    )
    print(f"  aim: {LIMIT_RATIO:g}x: {verdict}")


def write_trace(path: Path, size: int) -> int:
    """Writes a trace of about `size` bytes of JSON; returns the number of its events."""
    parts, written = ['{"schemaVersion": 1, "distributedInfo": {"rank": 0}, "traceEvents": [\n'], 0
    count = 0
    for event in events_without_end(random.Random(0)):
        text = json.dumps(event)
        parts.append(text)
        parts.append(",\n")
        written += len(text) + 2
        count += 1
        if written >= size and event["name"].startswith("ProfilerStep"):
            break
    parts[-1] = '\n], "displayTimeUnit": "ms", "baseTimeNanoseconds": 1767189312000000000}\n'
    path.write_bytes(gzip.compress("".join(parts).encode(), compresslevel=6, mtime=0))
    return count


def events_without_end(random_: random.Random) -> Iterator[dict]:
    """Steps of eager decode as torch.profiler writes them, with stacks: Python, ops, launches, flows, kernels."""
    cpu = gpu = 1_365_627_862_757.0
    number = step = 0
    while True:
        begun = cpu
        for layer in range(LAYERS):
            for kernel, length in LAYER:
                number += 1
                gpu = max(gpu, cpu + 20) + random_.random()
                yield from launch(number, layer, kernel, length * (0.9 + 0.2 * random_.random()), cpu, gpu)
                gpu += length * 1.1
                cpu += 25
        yield {
            "ph": "X",
            "cat": "user_annotation",
            "name": f"ProfilerStep#{step}",
            "pid": 6583,
            "tid": 6583,
            "ts": begun - 5,
            "dur": cpu - begun,
            "args": {"External id": number, "Ev Idx": number},
        }
        step += 1


def launch(number: int, layer: int, kernel: str, length: float, cpu: float, gpu: float) -> Iterator[dict]:
    on_cpu = {"ph": "X", "pid": 6583, "tid": 6583}
    for depth in range(3):
        args = {"Python parent id": number, "Python id": number + depth, "Ev Idx": number}
        name = f"vllm/model_executor/layers/layer.py({depth * 100}): forward"
        yield {**on_cpu, "cat": "python_function", "name": name, "ts": cpu, "dur": 20.5, "args": args}
    args = {
        "External id": number,
        "Record function id": 0,
        "Concrete Inputs": ["", "0", "0", "1", "1"],
        "Input type": ["c10::BFloat16", "Scalar", "Scalar", "Scalar", "Scalar"],
        "Input Strides": [[2816, 1], [], [], [], []],
        "Input Dims": [[16, 2816], [], [], [], []],
        "Ev Idx": number,
    }
    op = OPS[number % len(OPS)]
    yield {**on_cpu, "cat": "cpu_op", "name": op, "ts": cpu + 1, "dur": 18.25, "args": args}
    args = {"External id": number, "cbid": 211, "correlation": number}
    yield {
        **on_cpu,
        "cat": "cuda_runtime",
        "name": "cudaLaunchKernel",
        "ts": cpu + 5,
        "dur": 4.1,
        "args": args,
    }
    flow = {"id": number, "cat": "ac2g", "name": "ac2g"}
    yield {"ph": "s", **flow, "pid": 6583, "tid": 6583, "ts": cpu + 5}
    yield {"ph": "f", **flow, "pid": 0, "tid": 7, "ts": round(gpu, 3), "bp": "e"}
    args = {
        "External id": number,
        "queued": 0,
        "device": 0,
        "context": 1,
        "stream": 7,
        "correlation": number,
        "registers per thread": 44,
        "shared memory": 384,
        "blocks per SM": 6.0,
        "warps per SM": 48.0,
        "grid": [888, layer + 1, 1],
        "block": [256, 1, 1],
        "est. achieved occupancy %": 63,
    }
    on_gpu = {"ph": "X", "cat": "kernel", "name": kernel, "pid": 0, "tid": 7}
    yield {**on_gpu, "ts": round(gpu, 3), "dur": round(length, 3), "args": args}


if __name__ == "__main__":
    main()
