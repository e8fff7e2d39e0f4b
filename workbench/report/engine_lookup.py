"""What an engine will load, and whether it will: what `explain --engine` prints."""

from __future__ import annotations

from typing import Any

from workbench.base.text import pairs
from workbench.integrations.engine_lookup import EngineLookup
from workbench.report.table import Column, Table

_ANSWER = (Column("item", style="bold"), Column("value"))
_PLACES = (Column("looks in"), Column("file"), Column("found"))
_READS = {
    "yes": "yes",
    "no": "no",
    "unless": "it depends",
    "unknown": "not known",
}


def engine_tables(answer: EngineLookup) -> tuple[Table, ...]:
    """What the engine runs with, and the places where it looks."""
    lines = (
        ("engine", f"{answer.engine.title} (as of {answer.engine.version})"),
        ("device", answer.device_name),
        ("problem", f"{pairs(answer.problem)}, {answer.tokens} tokens"),
        ("looks for", answer.name),
        ("reads it", f"{_READS[answer.use.answer]}: {answer.use.backend}, {answer.use.why}"),
        ("to have it read", answer.use.remedy),
        ("takes", _takes(answer)),
        ("config", pairs(answer.config) if answer.config else "not known for this GPU"),
        *(("note", note) for note in answer.notes),
    )
    places = tuple(
        (place.origin, place.path or "-", _found(place.state, place.reason)) for place in answer.places
    )
    return (
        Table(f"What {answer.engine.title} will load", _ANSWER, tuple(line for line in lines if line[1])),
        Table("Where it looks, in order", _PLACES, places),
    )


def _takes(answer: EngineLookup) -> str:
    if answer.table is None:
        return "its default config, from a heuristic"
    return f"the row for {answer.row} tokens of {answer.table.path}"


def _found(state: str, reason: str) -> str:
    return f"{state}: {reason}" if reason else state


def engine_record(answer: EngineLookup) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "engine": answer.engine.name,
        "version": answer.engine.version,
        "device_name": answer.device_name,
        "problem": dict(answer.problem),
        "tokens": answer.tokens,
        "file_name": answer.name,
        "found": str(answer.table.path) if answer.table else None,
        "row": answer.row,
        "is_default": answer.table is None,
        "config": answer.config,
        "reads_it": answer.use.answer,
        "backend": answer.use.backend,
        "why": answer.use.why,
        "remedy": answer.use.remedy or None,
        "places": [
            {"origin": each.origin, "path": each.path, "state": each.state, "reason": each.reason or None}
            for each in answer.places
        ],
        "notes": list(answer.notes),
    }
