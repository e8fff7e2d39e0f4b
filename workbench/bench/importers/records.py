"""The records of an engine's result file, and their fields, checked as they are read.

A file holds one JSON object, several one after the other (`vllm bench serve --append-result`, SGLang's JSON Lines) or a
list of them (`vllm bench sweep`). An error names file, line, record and key, and says what is allowed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.errors import InputError
from workbench.base.files import read_text
from workbench.base.text import brief, shown

MAX_BYTES = 1 << 30
# No time, count or rate of a benchmark is near this; sums and quotients of what is below it stay finite.
MOST = 1e15
_SPACE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file.

    Attributes:
        number: its place in the file, from 1.
        of: how many records the file has.
        line: where it begins, from 1.
    """

    file: Path
    number: int
    of: int
    line: int
    text: str
    data: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Whether the key is there with a value; null counts as not there."""
        return self.data.get(key) is not None

    def error(self, key: str, message: str) -> InputError:
        """An error about one key of this record, to be raised by the caller."""
        place = self.text.find(f'"{key.partition("[")[0]}"')
        line = self.line + (self.text.count("\n", 0, place) if place >= 0 else 0)
        where = f"record {self.number}, {key}" if self.of > 1 else key
        return InputError(message, file=self.file, line=line, key=where)

    def number_at(self, key: str, *, at_least: float = 0.0, at_most: float = MOST) -> float:
        """A finite number that must be there.

        Raises:
            InputError: it is missing, null, not a number (a string is none) or out of range.
        """
        if key not in self.data:
            raise self.error(key, f"is missing; it must be {_allowed(at_least, at_most)}")
        return self._number(key, self.data[key], at_least, at_most)

    def optional_number(self, key: str, *, at_least: float = 0.0, at_most: float = MOST) -> float | None:
        """The same of a number that may be missing or null."""
        return self.number_at(key, at_least=at_least, at_most=at_most) if self.has(key) else None

    def count_at(self, key: str) -> int:
        """A whole number from 0 that must be there."""
        value = self.number_at(key)
        if value != int(value):
            raise self.error(key, f"must be a whole number, got {shown(value)}")
        return int(value)

    def optional_count(self, key: str) -> int | None:
        """The same of a number that may be missing or null."""
        return self.count_at(key) if self.has(key) else None

    def optional_text(self, key: str) -> str | None:
        """A string that may be missing, null or empty."""
        value = self.data.get(key)
        if not isinstance(value, str | None):
            raise self.error(key, f"must be a string or null, got {shown(value)}")
        return brief(value, 200) if value else None

    def text_at(self, key: str) -> str:
        """A string that must be there."""
        value = self.optional_text(key)
        if value is None:
            raise self.error(key, "is missing or empty; it must be a string")
        return value

    def numbers(self, key: str, *, at_most: float = MOST) -> tuple[float, ...] | None:
        """A list of finite numbers from 0, None where there is none."""
        values = self._list(key)
        if values is None:
            return None
        return tuple(self._number(f"{key}[{i}]", value, 0.0, at_most) for i, value in enumerate(values))

    def lists_of_numbers(self, key: str) -> tuple[tuple[float, ...], ...] | None:
        """A list of lists of finite numbers from 0, None where there is none."""
        rows = self._list(key)
        if rows is None:
            return None
        for i, row in enumerate(rows):
            if not isinstance(row, list):
                raise self.error(f"{key}[{i}]", f"must be a list of numbers, got {shown(row)}")
        return tuple(
            tuple(self._number(f"{key}[{i}][{j}]", value, 0.0, MOST) for j, value in enumerate(row))
            for i, row in enumerate(rows)
        )

    def _list(self, key: str) -> Sequence[Any] | None:
        values = self.data.get(key)
        if not isinstance(values, list | None):
            raise self.error(key, f"must be a list, got {shown(values)}")
        return values

    def _number(self, key: str, value: Any, at_least: float, at_most: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"must be {_allowed(at_least, at_most)}, got {_told(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or not at_least <= number <= at_most:
            raise self.error(key, f"must be {_allowed(at_least, at_most)}, got {number:g}")
        return number


def _allowed(at_least: float, at_most: float) -> str:
    if at_most < MOST:
        return f"a number from {at_least:g} to {at_most:g}"
    return f"a finite number, {at_least:g} or more (at most {MOST:g})"


def _told(value: Any) -> str:
    return "null" if value is None else shown(value)


def read_records(path: Path) -> tuple[Record, ...]:
    """Reads a file's records.

    Raises:
        InputError: it cannot be read, is no JSON, holds something else than objects, or nothing at all.
    """
    text = read_text(path, MAX_BYTES)
    found = list(_values(path, text))
    if not found:
        raise InputError("holds no result; expected one JSON object a run", file=path)
    return tuple(_record(path, text, number, len(found), *each) for number, each in enumerate(found, start=1))


def _values(path: Path, text: str) -> Iterator[tuple[int, int, Any]]:
    """Where each value begins and ends, and the value; a list that is all of the file is gone into."""
    place = _skip_space(text, 0)
    if text.startswith("[", place):
        yield from _items(path, text, place)
        return
    while place < len(text):
        value, end = _decode(path, text, place)
        yield place, end, value
        place = _skip_space(text, end)


def _items(path: Path, text: str, start: int) -> Iterator[tuple[int, int, Any]]:
    """The same for the items of a list; the decoder sees the whole list first, so that it is well-formed."""
    _, end = _decode(path, text, start)
    if (after := _skip_space(text, end)) < len(text):
        raise _wrong(path, text, after, "malformed JSON: extra data after the list")
    place = _skip_space(text, start + 1)
    while not text.startswith("]", place):
        value, end = _decode(path, text, place)
        yield place, end, value
        place = _skip_space(text, end)
        place = _skip_space(text, place + 1) if text.startswith(",", place) else place


def _record(path: Path, text: str, number: int, of: int, start: int, end: int, value: Any) -> Record:
    if not isinstance(value, dict):
        raise _wrong(path, text, start, f"record {number} must be a JSON object, got {_told(value)}")
    if not value:
        raise _wrong(path, text, start, f"record {number} is empty; expected the result of one run")
    return Record(path, number, of, text.count("\n", 0, start) + 1, text[start:end], value)


def _decode(path: Path, text: str, place: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder().raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise InputError(f"malformed JSON: {error.msg}", file=path, line=error.lineno) from None
    except (RecursionError, ValueError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise _wrong(path, text, place, f"malformed JSON: {what}") from None


def _wrong(path: Path, text: str, place: int, message: str) -> InputError:
    return InputError(message, file=path, line=text.count("\n", 0, place) + 1)


def _skip_space(text: str, place: int) -> int:
    space = _SPACE.match(text, place)
    return space.end() if space else place
