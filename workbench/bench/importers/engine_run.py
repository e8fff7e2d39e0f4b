"""One run as an engine's record has it, and how it becomes a bench row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from workbench.bench.figures import Figure, reciprocal, single
from workbench.bench.importers.latencies import check_units, latency_figures
from workbench.bench.importers.records import Record
from workbench.bench.rows import AcceptanceWindow, BenchRow, ItlDefinition, RequestRate, Source, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """What an engine says of a run; fields as in `BenchRow`.

    Attributes:
        label: what the run was called when it was made.
        gpus: None where the record does not say.
        concurrency: where it is not the record's `max_concurrency`.
    """

    model: str | None = None
    label: str | None = None
    status: Status = "ok"
    reason: str | None = None
    completed: int | None = None
    failed: int | None = None
    duration_s: float | None = None
    date: str | None = None
    gpus: int | None = None
    concurrency: int | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    draft_tokens: int | None = None
    acceptance_window: AcceptanceWindow | None = None
    acceptance_per_position: tuple[float, ...] = ()
    itl_definition: ItlDefinition | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def with_figures(self, figures: Mapping[str, Figure], record: Record, **others: Any) -> Self:
        """The run with its figures, and the mean lengths of its requests."""
        completed = self.completed or 1
        return replace(
            self,
            figures=figures,
            input_tokens=record.count_at("total_input_tokens") / completed,
            output_tokens=record.count_at("total_output_tokens") / completed,
            **others,
        )


def throughput_figures(
    record: Record, run: EngineRun, latency_names: Mapping[str, str], *, total: str
) -> dict[str, Figure]:
    """Latencies and throughputs, which both engines write alike.

    Args:
        record: one run.
        run: the same as far as it has been read; it has completed requests.
        latency_names: the engine's word for each latency.
        total: the engine's key of the throughput of input and output tokens; older files lack it.

    Raises:
        InputError: names file, line, record and key.
    """
    tokens, duration = record.count_at("total_output_tokens"), run.duration_s or 0.0
    if not duration:
        raise record.error("duration", "must be above 0 where requests completed")
    if not tokens:
        raise record.error("total_output_tokens", "must be above 0 where requests completed")
    figures = {
        "output_tokens_per_s": single(_positive(record, "output_throughput")),
        "requests_per_s": single(_positive(record, "request_throughput")),
    }
    if record.has(total):
        figures["total_tokens_per_s"] = single(_positive(record, total))
    figures |= latency_figures(record, latency_names, run.completed or 0)
    check_units(record, figures, tokens, duration)
    return figures


def _positive(record: Record, key: str) -> float:
    value = record.number_at(key)
    if not value:
        raise record.error(key, "must be above 0 where requests completed")
    return value


def request_rate(record: Record) -> RequestRate | None:
    """Requests a second as asked for; infinity comes as the string `inf` or as JSON's `Infinity`.

    Raises:
        InputError: it is anything else than a positive number, `inf`, `trace` or null.
    """
    value = record.data.get("request_rate")
    if value is None or value in ("inf", "trace"):
        return value
    if isinstance(value, float) and value == math.inf:
        return "inf"
    if isinstance(value, str) or not (rate := record.number_at("request_rate")):
        raise record.error("request_rate", f'must be a number above 0, "inf" or "trace", got {value!r}')
    return rate


def to_row(
    run: EngineRun, record: Record, source: Source, *, arm: str, device: str, workload: str | None
) -> BenchRow:
    """A run as a row; one in which no request completed has failed.

    Raises:
        InputError: what describes the load is wrong.
    """
    concurrency = run.concurrency or record.optional_count("max_concurrency")
    gpus = run.gpus or 1
    lost = run.completed == 0 and run.status == "ok"
    return BenchRow(
        source=source,
        arm=arm,
        device=device,
        model=run.model,
        workload=workload,
        input_tokens=run.input_tokens,
        output_tokens=run.output_tokens,
        concurrency=concurrency or None,
        request_rate=request_rate(record),
        draft_tokens=run.draft_tokens,
        gpus=gpus,
        status="failed" if lost else run.status,
        reason="no request completed" if lost else run.reason,
        completed=run.completed,
        failed=run.failed,
        duration_s=run.duration_s,
        metrics={**run.figures, **_a_user_and_a_gpu(run.figures, gpus)},
        acceptance_window=run.acceptance_window,
        acceptance_per_position=run.acceptance_per_position,
        itl_definition=run.itl_definition,
        date=run.date,
        versions=run.versions,
    )


def _a_user_and_a_gpu(figures: Mapping[str, Figure], gpus: int) -> dict[str, Figure]:
    """The two axes of the Pareto plot: 1000 / TPOT p50, and output throughput over GPUs."""
    derived = {}
    if (tpot := figures.get("tpot_p50_ms")) is not None:
        derived["tokens_per_s_per_user"] = reciprocal(tpot, 1e3)
    if (throughput := figures.get("output_tokens_per_s")) is not None:
        derived["tokens_per_s_per_gpu"] = replace(throughput, value=throughput.value / gpus)
    return derived
