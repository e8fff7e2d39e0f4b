"""Bench rows as entries: an arm on a load each; runs of the same arm and load are repeats of one entry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workbench.base.errors import IncomparableError
from workbench.bench.figures import Figure
from workbench.bench.metrics import METRICS as BENCH_METRICS
from workbench.bench.rows import BenchRow, read_bench
from workbench.compare.entry import LIMIT, Entry, Fact, GateMetric, differing
from workbench.compare.log_estimates import LogEstimate, of_interval, of_samples

_COUNTED = ("tpot_p50_ms", "tpot_mean_ms", "output_tokens_per_s", "acceptance_length", "ttft_p50_ms")
_SHOWN = ("tpot_p99_ms", "peak_memory_bytes", "energy_j_per_token")
# What depends on few requests, or on who was served first.
_LOOSE, _LOOSE_LIMIT = ("ttft", "p90", "p95", "p99"), 0.05
# An engine's summary without details has an interval of the mean alone.
_INSTEAD = {"tpot_mean_ms": "tpot_p50_ms"}


def _metric(name: str) -> GateMetric:
    is_loose = any(part in _LOOSE for part in name.split("_"))
    return GateMetric(
        name=name,
        better=BENCH_METRICS[name].better,
        limit=_LOOSE_LIMIT if is_loose else LIMIT,
        counts=name in _COUNTED,
        shown=name in _SHOWN,
        instead_of=_INSTEAD.get(name),
    )


METRICS = tuple(map(_metric, dict.fromkeys((*_COUNTED, *_SHOWN, *BENCH_METRICS))))


def read(path: Path) -> tuple[Entry, ...]:
    """The rows of a file, each an entry, as they stand there.

    Raises:
        InputError: it is no such file.
    """
    return tuple(map(_entry, read_bench(path).rows))


def pooled(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries of one key as one: runs that were repeated. A run that failed fails them all.

    Raises:
        IncomparableError: such runs differ in what must be equal.
    """
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[tuple(entry.key.values())].append(entry)
    return tuple(group[0] if len(group) == 1 else _pool(group) for group in groups.values())


def _pool(entries: Sequence[Entry]) -> Entry:
    sound = [entry for entry in entries if entry.figures] or entries[:1]
    for entry in sound[1:]:
        if found := differing(sound[0], entry):
            told = "; ".join(f"{name}: {one} against {other}" for name, (one, other) in found.items())
            raise IncomparableError(f"runs of one arm and load are no repeats, they differ in {told}")
    names = [name for name in sound[0].figures if all(name in entry.figures for entry in sound)]
    first = sound[0]
    return Entry(
        key=first.key,
        facts=first.facts,
        figures={name: of_samples([entry.figures[name].value for entry in sound]) for name in names},
        meanings=first.meanings,
        died=next((entry.died for entry in entries if entry.died), None),
        lost=sum(entry.lost for entry in sound) / len(sound),
    )


def _entry(row: BenchRow) -> Entry:
    return Entry(
        key=_key(row),
        facts=dict(_facts(row)),
        figures={name: _estimate(figure) for name, figure in row.metrics.items()},
        meanings=_meanings(row),
        died=None if row.status == "ok" else f"{row.status}: {row.reason}",
        lost=(row.failed or 0) / max(1, (row.failed or 0) + (row.completed or 0)),
    )


def _key(row: BenchRow) -> Mapping[str, str]:
    values = {
        "device": row.device,
        "workload": row.workload,
        "arm": row.arm,
        "concurrency": row.concurrency,
        "request_rate": None if row.request_rate == "inf" else row.request_rate,
        "draft_tokens": row.draft_tokens or None,
    }
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _facts(row: BenchRow) -> Iterator[tuple[str, Fact]]:
    yield "source", row.source
    yield "gpus", str(row.gpus)
    yield from (("model", row.model),) if row.status == "ok" or row.model else ()
    if row.status == "ok":
        yield "input_tokens", row.input_tokens
        yield "output_tokens", row.output_tokens
        yield from ((f"versions.{name}", text) for name, text in row.versions.items())


def _meanings(row: BenchRow) -> Mapping[str, str]:
    speculates = row.draft_tokens != 0
    found = dict.fromkeys(("acceptance_length", "acceptance_rate"), row.acceptance_window)
    found |= {name: row.itl_definition for name in BENCH_METRICS if name.startswith("itl_") and speculates}
    return {name: meaning for name, meaning in found.items() if meaning is not None}


def _estimate(figure: Figure) -> LogEstimate:
    if len(figure.samples) > 1:
        return of_samples(figure.samples)
    return of_interval(figure.value, *figure.interval) if figure.interval else LogEstimate(figure.value)
