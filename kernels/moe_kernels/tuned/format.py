"""The format of a results file, `workbench.tuned/1`: strict to read, stable to write.

A file holds the winners of one kernel on one device for one problem, a row per rung of the ladder (tokens):

    {"schema": "workbench.tuned/1", "kernel": "routing",
     "device": "NVIDIA_B200", "device_name": "NVIDIA B200", "arch": "sm_100",
     "problem": {"num_experts": 128, "top_k": 8, "dtype": "bf16"},
     "runs": {"<run id>": {"source_hash": ..., "versions": {"triton": ...}, "date": ...}},
     "rows": {"1": {"run": "<run id>", "config": {...}, "evidence": "measured", "time_us": ..., ...}}}

Keys that this version does not know are kept in `extra`: at the top, in a run and in a row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moe_kernels.tuned._json import Reader, TunedFileError, load

SCHEMA = "workbench.tuned/1"
EVIDENCE = ("measured", "modelled", "replayed")
# What a measured row is until its finalists have been timed again: in a file `"provisional": true` beside `measured`,
# here an evidence of its own, so that nothing that asks for measured rows takes it.
PROVISIONAL = "provisional"

MAX_ROWS = 4096
MAX_PARAMETERS = 64
MAX_TOKENS = 2**31 - 1

Value = int | float | str

_TOP_KEYS = ("schema", "kernel", "device", "device_name", "arch", "problem", "runs", "rows")
_RUN_KEYS = ("source_hash", "versions", "date")
_ROW_KEYS = (
    "run",
    "config",
    "evidence",
    "provisional",
    "time_us",
    "ci_us",
    "default_time_us",
    "speedup",
    "kept_default",
    "measure",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where rows come from.

    Attributes:
        source_hash: of the kernel's source as it was tuned.
        versions: of `torch`, `triton`, `driver` and the like.
        date: ISO 8601.
        extra: keys that this version does not know.
    """

    source_hash: str
    versions: Mapping[str, str]
    date: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The winner at one rung of the ladder.

    Attributes:
        run: id of the run that found it.
        config: every parameter.
        evidence: `measured`, `modelled` or `replayed`; `provisional` where measured, but not yet once more.
        time_us: microseconds a call.
        default_time_us: the default config's time in the same run; None where the default cannot run there.
        ci_us: interval of `time_us`, where measured.
        kept_default: True where nothing beat the default, and `config` is the default's.
        measure: how it was measured or modelled.
        extra: keys that this version does not know, for example a note.
    """

    run: str
    config: Mapping[str, Value]
    evidence: str
    time_us: float
    default_time_us: float | None
    ci_us: tuple[float, float] | None = None
    kept_default: bool = False
    measure: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def speedup(self) -> float | None:
        """The default's time over this row's; None where the default has none."""
        return None if self.default_time_us is None else self.default_time_us / self.time_us


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedFile:
    """The winners of one kernel on one device for one problem.

    Attributes:
        kernel: the kernel's name.
        device: the device's slug.
        device_name: its name as CUDA reports it.
        arch: for example `sm_100`.
        problem: every axis but the ladder.
        runs: by id.
        rows: by ladder value.
        extra: keys that this version does not know.
    """

    kernel: str
    device: str
    device_name: str
    arch: str
    problem: Mapping[str, int | str]
    runs: Mapping[str, Run]
    rows: Mapping[int, Row]
    extra: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str) -> TunedFile:
    """Reads a results file, strictly.

    Raises:
        TunedFileError: names the first thing that is wrong, by key or line.
    """
    top = Reader(load(text))
    if (schema := top.string("schema")) != SCHEMA:
        top.fail("schema", f"must be {SCHEMA}, got {schema[:40]!r}")
    problem, runs, rows = top.at("problem"), top.at("runs"), top.at("rows")
    parsed_runs = {run_id: _parse_run(runs.at(run_id)) for run_id in runs.names(MAX_ROWS)}
    return TunedFile(
        kernel=top.string("kernel"),
        device=top.string("device"),
        device_name=top.string("device_name"),
        arch=top.string("arch"),
        problem={axis: problem.axis(axis) for axis in problem.names()},
        runs=parsed_runs,
        rows=_parse_rows(rows, parsed_runs),
        extra=top.rest(_TOP_KEYS),
    )


def _parse_run(reader: Reader) -> Run:
    versions = reader.at("versions")
    return Run(
        source_hash=reader.string("source_hash"),
        versions={name: versions.string(name) for name in versions.names()},
        date=reader.string("date"),
        extra=reader.rest(_RUN_KEYS),
    )


def _parse_rows(reader: Reader, runs: Mapping[str, Run]) -> dict[int, Row]:
    rows = {}
    for name in reader.names(MAX_ROWS):
        if not re.fullmatch(r"[1-9][0-9]{0,9}", name, re.ASCII) or int(name) > MAX_TOKENS:
            reader.fail(name, f"must be a whole number from 1 to {MAX_TOKENS}")
        rows[int(name)] = _parse_row(reader.at(name), runs)
    return dict(sorted(rows.items()))


def _parse_row(reader: Reader, runs: Mapping[str, Run]) -> Row:
    config = reader.at("config")
    row = Row(
        run=reader.string("run"),
        config={name: config.scalar(name) for name in config.names(MAX_PARAMETERS)},
        evidence=_parse_evidence(reader),
        time_us=reader.positive("time_us"),
        default_time_us=None if reader.is_null("default_time_us") else reader.positive("default_time_us"),
        ci_us=None if reader.is_null("ci_us") else reader.interval("ci_us"),
        kept_default=reader.boolean("kept_default"),
        measure=reader.mapping("measure"),
        extra=reader.rest(_ROW_KEYS),
    )
    if row.run not in runs:
        reader.fail("run", f"names {row.run[:40]!r}, which `runs` does not hold")
    _check_speedup(reader, row.speedup)
    return row


def _parse_evidence(reader: Reader) -> str:
    evidence = reader.choice("evidence", EVIDENCE)
    if PROVISIONAL not in reader.names() or not reader.boolean(PROVISIONAL):
        return evidence
    if evidence != "measured":
        reader.fail(PROVISIONAL, "is only for rows that are measured")
    return PROVISIONAL


def _check_speedup(reader: Reader, expected: float | None) -> None:
    stated = None if reader.is_null("speedup") else reader.positive("speedup")
    if stated is None and expected is None:
        return
    if stated is None or expected is None or not math.isclose(stated, expected, rel_tol=0.01):
        reader.fail("speedup", f"is {stated}, but default_time_us / time_us is {expected}")


def serialise(file: TunedFile) -> str:
    """Writes a results file as text: the same file gives the same text, a run and a row to a line.

    Raises:
        TunedFileError: the file holds what `parse` does not take.
    """
    fields = {name: getattr(file, name) for name in _TOP_KEYS[1:5]}
    head = {"schema": SCHEMA, **fields, "problem": dict(file.problem)}
    runs = {run_id: _run_fields(file.runs[run_id]) for run_id in sorted(file.runs)}
    rows = {str(tokens): _row_fields(file.rows[tokens]) for tokens in sorted(file.rows)}
    parts = [f"{_json(key)}: {_json(value)}" for key, value in _join(head, file.extra).items()]
    parts[len(head) : len(head)] = [f'"runs": {_lines(runs)}', f'"rows": {_lines(rows)}']
    text = "{\n " + ",\n ".join(parts) + "\n}\n"
    parse(text)
    return text


def _run_fields(run: Run) -> dict[str, Any]:
    known = {"source_hash": run.source_hash, "versions": dict(run.versions), "date": run.date}
    return _join(known, run.extra)


def _row_fields(row: Row) -> dict[str, Any]:
    known = {
        "run": row.run,
        "config": dict(row.config),
        **(
            {"evidence": "measured", PROVISIONAL: True}
            if row.evidence == PROVISIONAL
            else {"evidence": row.evidence}
        ),
        "time_us": row.time_us,
        "ci_us": row.ci_us,
        "default_time_us": row.default_time_us,
        "speedup": None if row.speedup is None else float(f"{row.speedup:.4g}"),
        "kept_default": row.kept_default,
        "measure": dict(row.measure),
    }
    return _join(known, row.extra)


def _join(known: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    if both := [key for key in extra if key in known or key in ("runs", "rows")]:
        raise TunedFileError("is a key of the format, not an extra one", key=both[0])
    return {**known, **extra}


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TunedFileError(f"cannot be written as JSON: {error}") from error


def _lines(objects: Mapping[str, Any]) -> str:
    lines = ",\n  ".join(f"{_json(key)}: {_json(value)}" for key, value in objects.items())
    return f"{{\n  {lines}\n }}" if lines else "{}"
