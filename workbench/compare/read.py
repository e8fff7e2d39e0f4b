"""Reads a side: one file, or all files of known kinds in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from workbench.base.errors import IncomparableError, InputError
from workbench.base.text import brief
from workbench.compare.bench import pooled
from workbench.compare.entry import Entry, Side
from workbench.compare.kinds import KINDS, SUMMARY, TRACE
from workbench.compare.traces import SummaryRecord, entry_of

# Journals of sweeps: what a winner was chosen from, not a result.
_SKIPPED = "runs"
GZIP = b"\x1f\x8b"


class _Head(msgspec.Struct, rename={"trace_events": "traceEvents"}):
    schema: str | None = None
    trace_events: msgspec.Raw = msgspec.Raw()


def read_sides(a: Path, b: Path) -> tuple[Side, Side]:
    """Reads A and B.

    Raises:
        InputError: a file cannot be read, is damaged or of no known kind, or a folder holds none.
        IncomparableError: A and B have no kind in common.
    """
    files = {path: dict(_files(path)) for path in (a, b)}
    kinds = [{_as_read(schema) for schema in files[path].values()} for path in (a, b)]
    if not kinds[0] & kinds[1]:
        told = [", ".join(sorted(brief(each, 60) for each in kind)) for kind in kinds]
        raise IncomparableError(
            f"these cannot be compared, they differ in schema: {told[0]} against {told[1]}"
        )
    common = kinds[0] & kinds[1]
    if unknown := sorted(common - KINDS.keys()):
        raise _unknown(unknown[0], next(path for path, schema in files[a].items() if schema == unknown[0]))
    return _side(a, files[a], common), _side(b, files[b], common)


def _as_read(schema: str) -> str:
    return SUMMARY if schema == TRACE else schema


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """Files of a side with their schemas; in a folder those of no known one are left out."""
    if not path.is_dir():
        if (schema := _schema(path)) is None:
            raise _unknown(None, path)
        yield path, schema
        return
    found = [each for each in sorted(path.rglob("*.json")) if _belongs(each.relative_to(path))]
    known = [(each, schema) for each in found if (schema := _schema(each)) and schema in KINDS]
    if not known:
        titles = ", ".join(kind.title for kind in KINDS.values())
        raise InputError(f"holds no file that can be compared ({titles})", file=path)
    yield from known


def _belongs(relative: Path) -> bool:
    return _SKIPPED not in relative.parts[:-1] and not any(part.startswith(".") for part in relative.parts)


def _schema(path: Path) -> str | None:
    """The schema that a file names, None where it names none; `TRACE` where a profiler wrote it."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            return TRACE
        head = msgspec.json.decode(content, type=_Head)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from error
    except msgspec.ValidationError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", file=path) from error
    if head.schema is None and bytes(head.trace_events):
        return TRACE
    return head.schema


def _unknown(schema: str | None, path: Path) -> InputError:
    got = "there is none" if schema is None else f"got {brief(schema, 60)!r}"
    return InputError(f"must be one of {', '.join(KINDS)}, {got}", file=path, key="schema")


def _side(path: Path, files: Mapping[Path, str], kinds: set[str]) -> Side:
    entries: dict[str, list[Entry]] = {}
    for file, schema in files.items():
        if _as_read(schema) in kinds:
            read = _read_trace(file) if schema == TRACE else KINDS[schema].read(file)
            entries.setdefault(_as_read(schema), []).extend(read)
    return Side(
        name=str(path), entries={schema: _single(schema, path, each) for schema, each in entries.items()}
    )


def _single(schema: str, path: Path, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries of which no two are of the same."""
    if KINDS[schema].repeats:
        return pooled(entries)
    counted = Counter(" ".join(filter(None, entry.key.values())) for entry in entries)
    if twice := [label for label, count in counted.items() if count > 1]:
        raise InputError(
            f"holds {brief(twice[0], 80)!r} twice; name one of them"
            if twice[0]
            else "holds several; name one of them",
            file=path,
        )
    return tuple(entries)


def _read_trace(path: Path) -> tuple[Entry, ...]:
    """The entry of a trace as the profiler wrote it."""
    from workbench.timeline.read import read_trace
    from workbench.timeline.record import summary_record
    from workbench.timeline.rules import load_rules
    from workbench.timeline.summary import analyse, summarise

    record = summary_record(summarise(analyse(read_trace(path), load_rules(None))))
    return (entry_of(msgspec.json.decode(msgspec.json.encode(record), type=SummaryRecord), {}),)
