"""Small traces as torch.profiler writes them; the names are real, the times made up."""

from __future__ import annotations

import gzip
import json
from functools import cache

from workbench.timeline.analysis import analyse_file
from workbench.timeline.rules import load_rules
from workbench.timeline.summary import summarise

GEMM = "nvjet_tst_64x64_64x16_2x1_2cta_v_bz_bias_TNT"
NORM = (
    "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*, c10::BFloat16 const*, float, int, int)"
)
ROPE = "void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*)"
CACHE = "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, unsigned char>(__nv_bfloat16 const*)"
ATTENTION = "fmhaSm100aKernel_QkvE4m3OBfloat16H64PagedKvCausalP16VarSeqQ128Kv128PersistentContext"
EXPERTS = "fused_moe_kernel"
ACTIVATION = "void vllm::act_and_mul_kernel<c10::BFloat16, vllm::gelu_tanh_kernel>(c10::BFloat16*, int)"
TOPK = "void at::native::sbtopk::gatherTopK<c10::BFloat16, unsigned int, 2, false>(at::cuda::TensorInfo)"
SORT = "void at::native::bitonicSortKVInPlace<2, -1, 16, 16, c10::BFloat16, long>(at::cuda::TensorInfo)"
SOFTMAX = "void (anonymous namespace)::softmax_warp_forward<float, float, float, 3, false, false>(float*)"
GATHER = "void at::native::index_elementwise_kernel<128, 4, at::native::gpu_index_kernel>(long)"
FUSED = "_gemma4_routing_kernel"

ROUTING = {"split": ((TOPK, 6), (SORT, 5), (SOFTMAX, 3), (GATHER, 3)), "fused": ((FUSED, 4),)}
BEFORE = ((NORM, 3), (GEMM, 8), (ROPE, 3), (CACHE, 3), (ATTENTION, 14), (GEMM, 6))
AFTER = ((EXPERTS, 90), (ACTIVATION, 4), (EXPERTS, 60))


def kernel(name, ts, dur, *, stream=7, device=0, correlation=None, cat="kernel", pid=None, **args):
    found = {"device": device, "stream": stream, **args}
    if correlation is not None:
        found["correlation"] = correlation
    pid = device if pid is None else pid
    return {
        "ph": "X",
        "cat": cat,
        "name": name,
        "pid": pid,
        "tid": stream,
        "ts": ts,
        "dur": dur,
        "args": found,
    }


def on_cpu(name, ts, dur, *, cat="cpu_op", pid=100, tid=100, **args):
    named = {key.replace("_", " "): value for key, value in args.items()}
    return {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": named}


def launch(correlation, ts, *, name="cudaLaunchKernel", **more):
    return on_cpu(name, ts, 4, cat="cuda_runtime", correlation=correlation, **more)


def annotation(name, ts, dur, *, cat="user_annotation", **more):
    return on_cpu(name, ts, dur, cat=cat, **more)


rules_of = cache(load_rules)


def decode_events(routing="split", *, layers=4, steps=3, origin=1_000_000, gap=1.0, jitter=0.0):
    """Steps of eager decode: each kernel with its launch, each step in a ProfilerStep on the CPU, ahead of the GPU."""
    layer = (*BEFORE, *ROUTING[routing], *AFTER)
    events, number, gpu = [], 0, origin + 500.0
    for step in range(steps):
        cpu = begun = origin + 400.0 * step
        for name, length in layer * layers:
            number += 1
            length += jitter * step
            details = {"grid": [888, 1, 1], "block": [256, 1, 1], "registers per thread": 44}
            events.append(launch(number, cpu))
            events.append(kernel(name, round(gpu, 3), length, correlation=number, **details))
            cpu += 1
            gpu += length + gap
        events.append(annotation(f"ProfilerStep#{step}", begun - 1, cpu - begun + 2))
    return events


def document(events, **more):
    properties = [{"id": 0, "name": "NVIDIA B200"}]
    return {"schemaVersion": 1, "deviceProperties": properties, **more, "traceEvents": events}


def write(path, events, **more):
    content = json.dumps(document(events, **more)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def summary_of(path, events, *, cpu=False, rules=None, **more):
    return summarised(write(path, events, **more), cpu=cpu, rules=rules)


def summarised(path, *, cpu=False, rules=None):
    return summarise(analysed(path, cpu=cpu, rules=rules))


def analysed(path, *, cpu=False, rules=None):
    return analyse_file(path, rules_of(rules), cpu=cpu)
