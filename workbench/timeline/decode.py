"""JSON text -> events with only the fields that a timeline needs; what is malformed is left out and said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from workbench.base.errors import InputError
from workbench.timeline.unpack import TraceBytes

# Above this many microseconds a float no longer tells nanoseconds apart (2^53 / 1000).
EXACT_FLOAT_US = 2.0**53 / 1000


class Details(msgspec.Struct, gc=False):
    """The arguments of an event that are read; the others are skipped while decoding."""

    external_id: Any = msgspec.field(name="External id", default=None)
    correlation: Any = None
    device: Any = None
    stream: Any = None
    grid: Any = None
    block: Any = None
    registers: Any = msgspec.field(name="registers per thread", default=None)
    shared_memory: Any = msgspec.field(name="shared memory", default=None)
    bytes: Any = None
    graph_id: Any = msgspec.field(name="graph id", default=None)
    kernel_class: Any = msgspec.field(name="class", default=None)


class RawEvent(msgspec.Struct, gc=False):
    """An event as the file has it; any field may hold anything."""

    ph: Any = None
    cat: Any = None
    name: Any = None
    pid: Any = None
    tid: Any = None
    ts: Any = None
    dur: Any = None
    args: Details | None = None


class _Document(msgspec.Struct, gc=False):
    traceEvents: list[RawEvent]  # noqa: N815
    deviceProperties: Any = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a file holds.

    Attributes:
        device_properties: the list that torch.profiler writes; anything in a foreign file.
        damage: what could not be read, in words.
    """

    events: list[RawEvent]
    device_properties: Any
    damage: tuple[str, ...]


def decode(source: TraceBytes, path: Path, *, exact: bool = False) -> Decoded:
    """Decodes a trace, in the object form or as a bare list of events.

    Args:
        source: the JSON text.
        path: for errors.
        exact: read numbers with a fraction as decimals, which takes ten times as long.

    Raises:
        InputError: it is no JSON, or JSON without a list of events.
    """
    damage = (source.damage,) if source.damage else ()
    try:
        document = _decoder(exact).decode(source.content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _salvaged(source.content, damage, path, exact)
    if isinstance(document, list):
        return Decoded(document, None, damage)
    return Decoded(document.traceEvents, document.deviceProperties, damage)


def _decoder(exact: bool) -> msgspec.json.Decoder[_Document | list[RawEvent]]:
    return msgspec.json.Decoder(_Document | list[RawEvent], float_hook=Decimal if exact else None)


def is_coarse(value: Any) -> bool:
    """Whether a time in microseconds has lost its nanoseconds to the precision of a float."""
    return type(value) is float and abs(value) > EXACT_FLOAT_US


_BARE_NUMBER = re.compile(r"(?<=[:\[,])(\s*)-?(?:nan|inf(?:inity)?)(?=\s*[,}\]])", re.IGNORECASE)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
_EVENTS = re.compile(rb'"traceEvents"\s*:\s*\[')
_EVENTS_IN_TEXT = re.compile(_EVENTS.pattern.decode())
_PROPERTIES = re.compile(rb'"deviceProperties"\s*:\s*(?=\[)')
_EVENT = re.compile(r'(?<=[,\[\s])\{\s*"(?:ph|cat|name|pid|tid|ts)"\s*:')
# An event with a call stack takes some kilobytes.
_TAIL = 1 << 18
_GAP = 64
_SEPARATOR = re.compile(r"[\s,]*")


def _salvaged(content: bytes, damage: tuple[str, ...], path: Path, exact: bool) -> Decoded:
    """Reads a malformed file: cut where its last whole event ends, or mended, else event by event to the first flaw."""
    properties = _device_properties(content)
    if part := _cut_short(content, exact):
        note = f"the JSON ends early; read are the {len(part.traceEvents):,} events before"
        return Decoded(part.traceEvents, properties, (*damage, note))
    text, replaced = _text(content)
    found = [*damage, *replaced]
    if damage and not text.strip():
        raise InputError(f"{damage[0]}; nothing can be read", file=path)
    start = _start_of_events(text, path)
    if whole := _decoded_at_once(text, exact):
        return Decoded(whole.traceEvents, whole.deviceProperties, tuple(found))
    events, notes = _scanned(text, start, path)
    return Decoded(events, properties, (*found, *notes))


def _scanned(text: str, start: int, path: Path) -> tuple[list[RawEvent], list[str]]:
    """The events up to the first place where a text is no longer JSON, and what is missing of them."""
    events: list[RawEvent] = []
    left_out, notes = 0, []
    scan = _Scan(text, start)
    for value in scan:
        event = _event(value)
        if event is None:
            left_out += 1
        else:
            events.append(event)
    if not events:
        raise InputError(f"is no trace: {_what_instead(left_out, scan.end)}", file=path)
    if left_out:
        notes.append(f"{left_out:,} malformed events are left out")
    if scan.end:
        notes.append(f"{scan.end}; read are the {len(events):,} events before")
    return events, notes


def _what_instead(values: int, end: str) -> str:
    if values:
        return f"it is a list of {values:,} values none of which is an event (an object with `ph`, `ts` and `name`)"
    return f"it holds no event; {end}" if end else "its list of events is empty"


def _decoded_at_once(content: str | bytes, exact: bool) -> _Document | None:
    """All of a text; None where it is no trace."""
    try:
        document = _decoder(exact).decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return _Document(document) if isinstance(document, list) else document


def _cut_short(content: bytes, exact: bool) -> _Document | None:
    """A truncated file up to the end of its last whole event; None where it is damaged otherwise."""
    found = _EVENTS.search(content)
    start = found.end() if found else content.find(b"[") + 1
    end = _end_of_last_event(content, start)
    if end is None or content[end : end + _GAP].lstrip().startswith(b"]"):
        return None
    return _decoded_at_once(b"".join((b'{"traceEvents":[', content[start:end], b"]}")), exact)


def _end_of_last_event(content: bytes, start: int) -> int | None:
    """Where the last whole event ends; None where the end of the file does not look like one of events."""
    first = max(start, len(content) - _TAIL)
    # A character a byte, so that places in the text are places in the file.
    tail = content[first:].decode("latin-1")
    for begin in reversed([found.start() for found in _EVENT.finditer(tail)]):
        try:
            return first + json.JSONDecoder(strict=False).raw_decode(tail, begin)[1]
        except (ValueError, RecursionError):
            continue
    return None


def _device_properties(content: bytes) -> Any:
    """The list of devices of a file that is damaged elsewhere; None where it has none that can be read."""
    found = _PROPERTIES.search(content)
    if not found:
        return None
    text = content[found.end() : found.end() + _TAIL].decode("utf-8", "replace")
    try:
        return json.JSONDecoder(strict=False).raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _text(content: bytes) -> tuple[str, list[str]]:
    text = content.decode("utf-8-sig", "replace")
    notes = []
    if "\ufffd" in text:
        notes.append("bytes that are not UTF-8 are shown as \ufffd")
    text, count = _BARE_NUMBER.subn(r"\1null", text)
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else "\\\\", text)
    if count:
        notes.append(f"{count:,} values are not finite numbers and count as missing")
    return text, notes


def _start_of_events(text: str, path: Path) -> int:
    if not text.strip():
        raise InputError("unpacks to nothing", file=path)
    if text.lstrip().startswith("["):
        return text.index("[") + 1
    if not text.lstrip().startswith("{"):
        raise InputError("holds no JSON object or list; expected a torch.profiler trace", file=path)
    found = _EVENTS_IN_TEXT.search(text)
    if found is None:
        raise InputError("holds no list `traceEvents`; expected a torch.profiler trace", file=path)
    return found.end()


class _Scan:
    """The values of a JSON list one by one; `end` says why it stopped, and is empty at a proper end."""

    def __init__(self, text: str, start: int) -> None:
        self.text, self.at = text, start
        self.end = ""

    def __iter__(self) -> Iterator[Any]:
        scan = json.JSONDecoder(strict=False, parse_float=Decimal).raw_decode
        while True:
            found = _SEPARATOR.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.text.startswith("]", self.at):
                self.end = "" if self._is_closed() else "the JSON ends early"
                return
            if self.at >= len(self.text):
                self.end = "the JSON ends early"
                return
            try:
                value, self.at = scan(self.text, self.at)
            except (ValueError, RecursionError):
                self.end = self._why()
                return
            yield value

    def _is_closed(self) -> bool:
        return self.text.rstrip().endswith("}") or not self.text.lstrip().startswith("{")

    def _why(self) -> str:
        tail = self.text.find("}", self.at) < 0 or self.text.rfind("]") < self.at
        return "the JSON ends early" if tail else f"malformed JSON at character {self.at:,}"


def _event(value: Any) -> RawEvent | None:
    if not isinstance(value, dict):
        return None
    if not isinstance(value.get("args"), dict):
        value.pop("args", None)
    try:
        return msgspec.convert(value, RawEvent)
    except msgspec.MsgspecError:
        return None
