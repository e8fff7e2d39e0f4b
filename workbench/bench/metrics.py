"""What a bench row can hold: every figure's name, unit, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]

PERCENTILES: Mapping[str, float] = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
LATENCIES: Mapping[str, str] = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "itl": "inter-token latency",
    "e2el": "end-to-end latency",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a bench row.

    Attributes:
        name: its key in a row; the unit is its ending.
        title: as tables and axes call it.
    """

    name: str
    title: str
    unit: str
    better: Better

    @property
    def phrase(self) -> str:
        """The title within a sentence: `output throughput`, but `TPOT p50`."""
        return self.title if self.title[1:2].isupper() else f"{self.title[0].lower()}{self.title[1:]}"

    @property
    def axis_label(self) -> str:
        """Title, unit and direction: `TPOT p50 (ms, lower is better)`."""
        return f"{self.title} ({self.unit}, {self.better} is better)"


def latency_metric(latency: str, statistic: str) -> str:
    """The key of a statistic of a latency: `tpot_p50_ms`."""
    return f"{latency}_{statistic}_ms"


def _latency_metrics() -> list[Metric]:
    return [
        Metric(latency_metric(latency, statistic), f"{title} {statistic}", "ms", "lower")
        for latency, title in LATENCIES.items()
        for statistic in ("mean", *PERCENTILES)
    ]


_OTHERS = (
    Metric("output_tokens_per_s", "Output throughput", "tokens/s", "higher"),
    Metric("total_tokens_per_s", "Input and output throughput", "tokens/s", "higher"),
    Metric("requests_per_s", "Request throughput", "requests/s", "higher"),
    Metric("tokens_per_s_per_user", "Decode speed a user sees", "tokens/s/user", "higher"),
    Metric("tokens_per_s_per_gpu", "Output throughput a GPU", "tokens/s/GPU", "higher"),
    Metric("acceptance_length", "Acceptance length", "tokens/step", "higher"),
    Metric("acceptance_rate", "Acceptance rate", "fraction", "higher"),
    Metric("peak_memory_bytes", "Peak memory", "bytes", "lower"),
    Metric("energy_j_per_token", "Energy an output token", "J/token", "lower"),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (*_latency_metrics(), *_OTHERS)}
