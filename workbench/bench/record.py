"""Runs a workload into a file of rows: each row is written as soon as it is known, and a killed run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.base.errors import InputError
from workbench.bench.engine import Clock, DecodeEngine, EnergyMeter
from workbench.bench.rows import FOLDER, SCHEMA, BenchFile, BenchRow, read_bench, write_bench
from workbench.bench.runner import Told, run_workload
from workbench.bench.workload import DecodeWorkload


def origin_of(workload: DecodeWorkload, engine: DecodeEngine, **more: Any) -> dict[str, Any]:
    """Where rows come from: the workload with every default filled in, what ran it, and whatever else says how."""
    facts = {
        "model": engine.facts.model,
        "device": engine.facts.device,
        "versions": dict(engine.facts.versions),
    }
    return json.loads(json.dumps({"workload": workload.model_dump(), **facts, **more}))  # type: ignore[no-any-return]


def rows_path(out: Path, device: str, name: str, origin: Mapping[str, Any]) -> Path:
    """The file of a run, named after the workload and all that makes a run what it is."""
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:8]
    return out / device / FOLDER / f"{name}-{digest}.json"


def unfinished(path: Path, origin: Mapping[str, Any], workload: DecodeWorkload) -> tuple[BenchRow, ...]:
    """Rows of the loads that an earlier, killed run completed; none where it ended, or never was."""
    if not path.exists():
        return ()
    try:
        file = read_bench(path)
    except InputError:
        return ()
    arms = len(workload.arms)
    kept = file.rows[: len(file.rows) // arms * arms]
    ended = len(kept) == arms * len(workload.concurrency)
    return () if ended or file.origin != origin else kept


def record_workload(
    workload: DecodeWorkload,
    engine: DecodeEngine,
    path: Path,
    origin: Mapping[str, Any],
    *,
    known: tuple[BenchRow, ...] = (),
    clock: Clock | None = None,
    energy: EnergyMeter | None = None,
    told: Told = lambda text: None,
) -> Iterator[BenchRow]:
    """Runs the loads that are not known yet, writes the file after each row, and yields the row.

    Args:
        workload: what to run.
        engine: what decodes.
        path: the file of rows.
        origin: of the file.
        known: rows of an earlier run, which the file keeps.
        clock: as for `run_workload`.
        energy: as for `run_workload`.
        told: as for `run_workload`.

    Raises:
        InputError: the file cannot be written.
    """
    rows = list(known)
    write_bench(path, BenchFile(schema=SCHEMA, origin=origin, rows=tuple(rows)))
    done = {row.concurrency for row in known}
    left = tuple(batch for batch in workload.concurrency if batch not in done)
    rest = workload.model_copy(update={"concurrency": left})
    for row in run_workload(rest, engine, clock=clock, energy=energy, told=told):
        rows.append(row)
        write_bench(path, BenchFile(schema=SCHEMA, origin=origin, rows=tuple(rows)))
        yield row
