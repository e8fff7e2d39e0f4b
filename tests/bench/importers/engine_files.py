"""Result files as vLLM 0.33.0 and SGLang 0.5.23 write them, of made-up requests."""

from __future__ import annotations

import json
import random

import numpy as np

MODEL = "google/gemma-4-26B-A4B-it"


class Requests:
    """Made-up requests of one run, in seconds as the engines see them."""

    def __init__(self, *, count=400, output_len=50, input_len=1000, concurrency=8, tpot_s=0.010, seed=0):
        rng = random.Random(seed)
        self.concurrency, self.input_len = concurrency, input_len
        self.ttfts = [0.05 * rng.lognormvariate(0, 0.2) for _ in range(count)]
        paces = [tpot_s * rng.lognormvariate(0, 0.05) for _ in range(count)]
        self.itls = [[pace] * (output_len - 1) for pace in paces]
        self.output_lens = [output_len] * count
        self.latencies = [ttft + sum(gaps) for ttft, gaps in zip(self.ttfts, self.itls, strict=True)]
        self.errors = [""] * count
        self.duration = sum(self.latencies) / concurrency

    @property
    def tpots(self):
        triples = zip(self.latencies, self.ttfts, self.output_lens, strict=True)
        return [(latency - ttft) / (length - 1) for latency, ttft, length in triples]

    def statistics(self, names, percentiles):
        values = (self.ttfts, self.tpots, [gap for gaps in self.itls for gap in gaps], self.latencies)
        found = {}
        for name, each in zip(names, values, strict=True):
            found[f"mean_{name}_ms"] = float(np.mean(each)) * 1e3
            found[f"median_{name}_ms"] = float(np.median(each)) * 1e3
            found[f"std_{name}_ms"] = float(np.std(each)) * 1e3
            found |= {f"p{p}_{name}_ms": float(np.percentile(each, p)) * 1e3 for p in percentiles}
        return found

    @property
    def totals(self):
        tokens, count = sum(self.output_lens), len(self.output_lens)
        return {
            "duration": self.duration,
            "completed": count,
            "total_input_tokens": count * self.input_len,
            "total_output_tokens": tokens,
            "request_throughput": count / self.duration,
            "output_throughput": tokens / self.duration,
        }

    @property
    def details(self):
        return {
            "input_lens": [self.input_len] * len(self.ttfts),
            "output_lens": self.output_lens,
            "ttfts": self.ttfts,
            "itls": self.itls,
            "generated_texts": ["..."] * len(self.ttfts),
            "errors": self.errors,
        }


SPECULATION = {
    "spec_decode_acceptance_rate": 62.5,
    "spec_decode_acceptance_length": 2.875,
    "spec_decode_num_drafts": 8000,
    "spec_decode_draft_tokens": 24000,
    "spec_decode_accepted_tokens": 15000,
    "spec_decode_per_position_acceptance_rates": [0.8, 0.6, 0.475],
}


def vllm_record(requests=None, *, details=False, **changes):
    requests = requests or Requests()
    totals = requests.totals
    record = {
        "date": "20260901-120000",
        "endpoint_type": "openai",
        "backend": "openai",
        "label": None,
        "model_id": MODEL,
        "tokenizer_id": MODEL,
        "num_prompts": totals["completed"],
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": requests.concurrency,
        **totals,
        "failed": 0,
        "request_goodput": None,
        "total_token_throughput": totals["output_throughput"] * 2,
        "latencies": requests.latencies,
        "max_output_tokens_per_s": 900.0,
        "max_concurrent_requests": 9,
        "rtfx": 0.0,
        **requests.statistics(("ttft", "tpot", "itl", "e2el"), (99,)),
        **(requests.details if details else {}),
    }
    return changed(record, changes)


def sglang_record(requests=None, *, details=False, **changes):
    requests = requests or Requests()
    totals = requests.totals
    record = {
        "tag": None,
        "backend": "sglang",
        "dataset_name": "random",
        "request_rate": float("inf"),
        "max_concurrency": requests.concurrency,
        "sharegpt_output_len": None,
        "random_input_len": requests.input_len,
        "random_output_len": 50,
        "random_range_ratio": 1.0,
        "server_info": {
            "model_path": MODEL,
            "tp_size": 2,
            "pp_size": 1,
            "dp_size": 1,
            "version": "0.5.23",
            "speculative_num_draft_tokens": None,
        },
        **totals,
        "total_output_tokens_retokenized": totals["total_output_tokens"],
        "input_throughput": 1.0,
        "total_throughput": totals["output_throughput"] * 2,
        **requests.statistics(("ttft", "tpot", "itl", "e2e_latency"), (90, 95, 99)),
        "concurrency": float(requests.concurrency),
        "accept_length": None,
        **(requests.details if details else {}),
    }
    return changed(record, changes)


MISSING = object()


def changed(record, changes):
    return {key: value for key, value in {**record, **changes}.items() if value is not MISSING}


def write(path, *records):
    """One record a line, as both engines append them."""
    path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return path
