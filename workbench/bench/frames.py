"""Bench rows as a pandas data frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.errors import InputError
from workbench.base.frames import Dtype, frame_of
from workbench.bench.metrics import METRICS
from workbench.bench.rows import BenchRow, bench_files, read_bench

if TYPE_CHECKING:
    from pandas import DataFrame

FiledRow = tuple[Path, BenchRow]

_FIELDS: Mapping[str, Dtype] = {
    "source": "string",
    "device": "string",
    "model": "string",
    "workload": "string",
    "arm": "string",
    "concurrency": "Int64",
    "draft_tokens": "Int64",
    "gpus": "Int64",
    "input_tokens": "float64",
    "output_tokens": "float64",
    "status": "string",
    "reason": "string",
    "completed": "Int64",
    "failed": "Int64",
    "duration_s": "float64",
    "acceptance_window": "string",
    "itl_definition": "string",
    "date": "string",
}


def bench_rows(path: str | Path) -> DataFrame:
    """The bench rows in a folder of results, or in one file of them: a row a run of an arm on a load.

    Every figure was measured, by the row's `source`. A run that failed has a status and no figures.

    | column | dtype | |
    |---|---|---|
    | `source` | string | what measured it: `workbench`, `vllm` or `sglang` |
    | `device` | string | the slug of the GPU, or `unknown` |
    | `model`, `workload` | string | the model, the load's name |
    | `arm` | string | what is compared: `split`, `fused`, `tuned`, or an engine's label |
    | `concurrency` | Int64 | requests in flight at most, missing where unbounded |
    | `request_rate_per_s` | float64 | as asked for; infinite for all at once, missing for recorded arrivals |
    | `draft_tokens` | Int64 | drafted a step, 0 without speculation |
    | `gpus` | Int64 | how many GPUs served it |
    | `input_tokens`, `output_tokens` | float64 | mean lengths of a request |
    | `status`, `reason` | string | how the run ended, and why there are no figures |
    | `completed`, `failed` | Int64 | requests |
    | `duration_s` | float64 | seconds that the run took |
    | `acceptance_window` | string | over what acceptance was counted: `run` or `server_start` |
    | `itl_definition` | string | an inter-token latency is between `chunk`s, or divided by the `token`s in it |
    | `date` | string | when it ran, as the source writes it |
    | `file` | string | the file of rows |
    | each of `workbench.bench.metrics.METRICS` | float64 | in the unit that its name ends with: `tpot_mean_ms` |
    | `<metric>_low`, `<metric>_high` | float64 | its 95 % interval, in the metric's unit |
    | `<metric>_n` | Int64 | how many observations it is made from |
    | `<metric>_of` | string | what those are: `runs`, `requests` or `tokens` |
    | `acceptance_position_<n>` | float64 | share of drafts accepted at the n-th position, from 1 |
    | `version_<package>` | string | of what ran |

    Raises:
        InputError: there is no such folder or file, or a file of rows is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("is no folder of results and no file of bench rows", file=path)
    files = [path] if path.is_file() else list(bench_files(path))
    return bench_frame([(file, row) for file in files for row in read_bench(file).rows])


def bench_frame(rows: Sequence[FiledRow]) -> DataFrame:
    """Bench rows, each with its file, as `bench_rows` describes them."""
    groups = {
        "acceptance_position": lambda filed: dict(enumerate(filed[1].acceptance_per_position, start=1)),
        "version": lambda filed: filed[1].versions,
    }
    return frame_of(rows, dict(_columns()), groups)


def _columns() -> Iterator[tuple[str, tuple[Dtype, Callable[[FiledRow], Any]]]]:
    for name, dtype in _FIELDS.items():
        yield name, (dtype, _of_row(attrgetter(name)))
        if name == "concurrency":
            yield "request_rate_per_s", ("float64", _rate)
    yield "file", ("string", lambda filed: filed[0])
    for metric in METRICS:
        yield metric, ("float64", _of_figure(metric, "value"))
        yield f"{metric}_low", ("float64", _of_figure(metric, "low"))
        yield f"{metric}_high", ("float64", _of_figure(metric, "high"))
        yield f"{metric}_n", ("Int64", _of_figure(metric, "n"))
        yield f"{metric}_of", ("string", _of_figure(metric, "of"))


def _of_row(get: Callable[[BenchRow], Any]) -> Callable[[FiledRow], Any]:
    return lambda filed: get(filed[1])


def _of_figure(metric: str, field: str) -> Callable[[FiledRow], Any]:
    return lambda filed: getattr(filed[1].metrics.get(metric), field, None)


def _rate(filed: FiledRow) -> float | None:
    rate = filed[1].request_rate
    return math.inf if rate == "inf" else None if rate == "trace" else rate
