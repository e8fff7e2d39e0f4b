"""Reads the results of serving engines into bench rows; a module an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from workbench.base.errors import InputError
from workbench.base.files import read_bytes
from workbench.base.text import shown
from workbench.bench.importers import sglang, vllm
from workbench.bench.importers.engine_run import EngineRun, to_row
from workbench.bench.importers.records import MAX_BYTES, Record, read_records
from workbench.bench.rows import SCHEMA, UNKNOWN_DEVICE, BenchFile, BenchRow, Source

__all__ = ["IMPORTERS", "About", "EngineRun", "Record", "import_results", "read_records", "to_row"]

IMPORTERS: Mapping[Source, ModuleType] = {"vllm": vllm, "sglang": sglang}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What engine results do not say of themselves; None leaves it to what they do say.

    Attributes:
        arm: what the runs are called in comparisons; otherwise the run's own label or tag, else the file's name.
        workload: a name for the load; runs of one name must have requests of one length.
    """

    device: str = UNKNOWN_DEVICE
    arm: str | None = None
    model: str | None = None
    workload: str | None = None
    gpus: int | None = None


def import_results(path: Path, about: About) -> BenchFile:
    """Reads one file of an engine's results, every run in it.

    Raises:
        InputError: names file, line, record and key, and says what is allowed.
    """
    records = read_records(path)
    sources = [_source(record) for record in records]
    _check_same(records, sources, "the engine", "import each engine's file on its own")
    read: Callable[[Record], EngineRun] = IMPORTERS[sources[0]].read_run
    runs = [read(record) for record in records]
    _check_same(records, [run.model for run in runs], "the model", "split the file, one model in each")
    # A run that a sweep gave up names no model; it was of its file's.
    model = next((run.model for run in runs if run.model), None)
    runs = [replace(run, model=model) for run in runs]
    rows = (
        _row(run, record, sources[0], about, path.stem) for run, record in zip(runs, records, strict=True)
    )
    origin = {
        "file": path.name,
        "sha256": hashlib.sha256(read_bytes(path, MAX_BYTES)).hexdigest(),
        "engine": sources[0],
    }
    return BenchFile(schema=SCHEMA, origin=origin, rows=tuple(rows))


def _source(record: Record) -> Source:
    for source, importer in IMPORTERS.items():
        if importer.recognises(record):
            return source
    keys = "model_id (`vllm bench serve`) or mean_e2e_latency_ms (SGLang's bench_serving)"
    found = ", ".join(map(str, list(record.data)[:5]))
    raise InputError(
        f"record {record.number} is of no known engine: it has neither {keys}, but {found}",
        file=record.file,
        line=record.line,
    )


def _check_same(records: Sequence[Record], found: Sequence[str | None], what: str, hint: str) -> None:
    first = next((each for each in found if each is not None), None)
    for record, each in zip(records, found, strict=True):
        if each is not None and each != first:
            message = f"{what} is {shown(each)}, but {shown(first)} in an earlier record; {hint}"
            raise InputError(message, file=record.file, line=record.line, key=f"record {record.number}")


def _row(run: EngineRun, record: Record, source: Source, about: About, stem: str) -> BenchRow:
    if about.model and run.model and about.model != run.model:
        what = f"is {shown(run.model)}, but --model says {shown(about.model)}; leave --model out"
        raise record.error("model_id" if source == "vllm" else "server_info", what)
    run = replace(run, model=run.model or about.model, gpus=about.gpus or run.gpus)
    arm = about.arm or run.label or stem
    return to_row(run, record, source, arm=arm, device=about.device, workload=about.workload)
