"""Reads a side: one file, or all files of known kinds in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from workbench.base.errors import IncomparableError, InputError
from workbench.base.files import unreadable
from workbench.base.text import brief
from workbench.compare.bench import pooled
from workbench.compare.entry import Entry
from workbench.compare.result_kinds import KINDS
from workbench.compare.traces import read_raw
from workbench.timeline.record import SUMMARY
from workbench.timeline.unpack import GZIP

# Journals of sweeps: what a winner was chosen from, not a result.
_SKIPPED = "runs"
_TRACE_EVENTS, _HEAD_BYTES = b'"traceEvents"', 1 << 20
# What a profiler itself writes names no schema of ours.
_TRACE = "a torch.profiler trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A or B.

    Attributes:
        name: its path as given.
        entries: by schema.
    """

    name: str
    entries: Mapping[str, tuple[Entry, ...]]


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
    common = kinds[0] & kinds[1]
    if not common:
        told = [", ".join(sorted(brief(each, 60) for each in kind)) for kind in kinds]
        raise IncomparableError(
            f"these cannot be compared, they differ in schema: {told[0]} against {told[1]}"
        )
    if unknown := sorted(common - KINDS.keys()):
        raise _unknown(unknown[0], next(path for path, schema in files[a].items() if schema == unknown[0]))
    return _side(a, files[a], common), _side(b, files[b], common)


def _as_read(schema: str) -> str:
    return SUMMARY if schema == _TRACE else schema


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
    """The schema that a file names, None where it names none; `_TRACE` where a profiler wrote it."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            return _TRACE
        head = msgspec.json.decode(content, type=_Head)
    except OSError as error:
        raise unreadable(path, error) from error
    except msgspec.ValidationError:
        # JSON of another form is nothing of ours; in a folder it is passed over.
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Profilers write JSON that no parser takes; the reader of traces mends it and says what it could not.
        if _TRACE_EVENTS in content[:_HEAD_BYTES]:
            return _TRACE
        raise InputError(f"is not JSON: {error}", file=path) from error
    return _TRACE if head.schema is None and bytes(head.trace_events) else head.schema


def _unknown(schema: str | None, path: Path) -> InputError:
    got = "there is none" if schema is None else f"got {brief(schema, 60)!r}"
    return InputError(f"must be one of {', '.join(KINDS)}, {got}", file=path, key="schema")


def _side(path: Path, files: Mapping[Path, str], schemas: set[str]) -> Side:
    entries: dict[str, list[Entry]] = {}
    for file, schema in files.items():
        if _as_read(schema) in schemas:
            read = read_raw if schema == _TRACE else KINDS[schema].read
            entries.setdefault(_as_read(schema), []).extend(read(file))
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
