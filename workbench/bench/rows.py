"""Bench rows, `workbench.bench/1`: one arm on one load, with its figures or why there are none.

A file `results/<DEVICE>/bench/<name>.json` holds `schema`, `origin` (where its rows come from) and `rows`. A failed run
is a row with a status and a reason; a figure that is not known is left out, and is never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench.base.errors import InputError
from workbench.base.files import read_bytes, write_whole
from workbench.base.json import decode
from workbench.bench.figures import Figure
from workbench.bench.metrics import METRICS

SCHEMA: Literal["workbench.bench/1"] = "workbench.bench/1"
FOLDER = "bench"
UNKNOWN_DEVICE = "unknown"
MAX_BYTES = 1 << 30

# Speed-ups and the Pareto plot divide by these.
_DIVISORS = ("tpot_p50_ms", "output_tokens_per_s", "tokens_per_s_per_user", "tokens_per_s_per_gpu")

Status = Literal["ok", "failed", "oom", "timeout", "skipped"]
Source = Literal["workbench", "vllm", "sglang"]
AcceptanceWindow = Literal["run", "server_start"]
ItlDefinition = Literal["chunk", "token"]
RequestRate = float | Literal["inf", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One arm on one load.

    Attributes:
        arm: what is compared: `split`, `fused`, `tuned`, or the label of an engine's run.
        device: the slug of the GPU, or `unknown`.
        model: None where the source does not name it.
        workload: `chat`, `summarization` or a name of the user's own; None where it was not given.
        input_tokens: mean prompt length of a request.
        output_tokens: mean output length of a request.
        concurrency: requests in flight at most (our runner: the batch); None where unbounded.
        request_rate: requests a second as asked for; `inf` for all at once, `trace` for recorded arrivals.
        draft_tokens: tokens drafted a step, 0 without speculation, None where unknown.
        reason: why there are no figures, where the status is not ok.
        completed: requests that succeeded.
        failed: requests that did not, None where the source does not say.
        metrics: figures by the names of `METRICS`.
        acceptance_window: over what the acceptance length and rate were counted: this `run`, or everything
            since `server_start`.
        acceptance_per_position: share of drafts accepted at each draft position, fractions.
        itl_definition: an inter-token latency is the gap between two `chunk`s (which speculation fills with
            several tokens), or that gap divided by the `token`s in it.
        date: when it ran, as the source writes it.
    """

    source: Source
    arm: str
    device: str
    model: str | None = None
    workload: str | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    concurrency: int | None = None
    request_rate: RequestRate | None = None
    draft_tokens: int | None = None
    gpus: int = 1
    status: Status = "ok"
    reason: str | None = None
    completed: int | None = None
    failed: int | None = None
    duration_s: float | None = None
    metrics: Mapping[str, Figure] = field(default_factory=dict)
    acceptance_window: AcceptanceWindow | None = None
    acceptance_per_position: tuple[float, ...] = ()
    itl_definition: ItlDefinition | None = None
    date: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFile:
    """A file of rows.

    Attributes:
        origin: where the rows come from: a file and its hash, or a workload as resolved.
        rows: in the order in which they were measured.
    """

    schema: Literal["workbench.bench/1"]
    origin: Mapping[str, Any]
    rows: tuple[BenchRow, ...]


def write_bench(path: Path, file: BenchFile) -> None:
    """Writes rows as a whole file.

    Raises:
        InputError: it cannot be written.
    """
    record = {"schema": file.schema, "origin": dict(file.origin), "rows": [asdict(row) for row in file.rows]}
    write_whole(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def read_bench(path: Path) -> BenchFile:
    """Reads a file of rows.

    Raises:
        InputError: it cannot be read, or is no such file; names the key.
    """
    content = read_bytes(path, MAX_BYTES)
    try:
        file = decode(content, BenchFile, path, otherwise=f"is no file of bench rows ({SCHEMA})")
    except InputError as error:
        hint = "; an engine's own result is read by `bench import`" if error.key in (None, "schema") else ""
        raise InputError(f"{error.message}{hint}", file=path, key=error.key) from error
    for index, row in enumerate(file.rows):
        _check(path, index, row)
    return file


def bench_files(folder: Path, device: str | None = None) -> Iterator[Path]:
    """The files of rows in a results folder, of one device or of all."""
    for path in sorted(folder.glob(f"*/{FOLDER}/*.json")):
        if device in (None, path.parts[-3]):
            yield path


def _check_figures(path: Path, index: int, row: BenchRow) -> None:
    for name, figure in row.metrics.items():
        least = min(figure.value, *(figure.interval or ()), *figure.samples, math.inf)
        if least < 0 or (least == 0 and name in _DIVISORS):
            allowed = "above 0" if name in _DIVISORS else "0 or more"
            raise InputError(
                f"must be {allowed}, got {least:g}", file=path, key=f"rows[{index}].metrics.{name}"
            )


def _check(path: Path, index: int, row: BenchRow) -> None:
    """What types alone do not say: known metrics, and figures exactly where a run is ok."""
    unknown = sorted(row.metrics.keys() - METRICS)
    if unknown:
        allowed = ", ".join(METRICS)
        key = f"rows[{index}].metrics.{unknown[0]}"
        raise InputError(f"no such metric; allowed: {allowed}", file=path, key=key)
    if (row.status == "ok") != (row.reason is None):
        what = "must say why the row is not ok, and only then"
        raise InputError(what, file=path, key=f"rows[{index}].reason")
    _check_figures(path, index, row)
    if row.status != "ok" and row.metrics:
        what = f"must be empty where the status is {row.status}"
        raise InputError(what, file=path, key=f"rows[{index}].metrics")
