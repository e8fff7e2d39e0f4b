"""Strict JSON: what is wrong is said by key or line, and nothing that a writer would not write is taken."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

# Far beyond any real file; a reader in a serving process must not choke on what is none.
MAX_CHARACTERS = 8 * 1024 * 1024
MAX_INTEGER = 2**63 - 1


class TunedFileError(ValueError):
    """A results file is damaged.

    Attributes:
        message: what is wrong and what is allowed.
        key: the dotted key at which it is wrong, where there is one.
        line: the line, where the text is no JSON.
    """

    def __init__(self, message: str, *, key: str | None = None, line: int | None = None) -> None:
        self.message, self.key, self.line = message, key, line
        where = key or (f"line {line}" if line else None)
        super().__init__(f"{where}: {message}" if where else message)


def load(text: str) -> Any:
    """Reads JSON without duplicate keys, NaN, infinities or integers beyond 64 bits.

    Raises:
        TunedFileError: names what is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise TunedFileError(f"is {len(text)} characters long; at most {MAX_CHARACTERS} are read")
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except json.JSONDecodeError as error:
        raise TunedFileError(f"is not JSON: {error.msg}", line=error.lineno) from error
    except RecursionError as error:
        raise TunedFileError("is nested too deeply") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise TunedFileError("appears twice in one object", key=_shortened(key))
        mapping[key] = value
    return mapping


def _refuse(text: str) -> NoReturn:
    raise TunedFileError(f"holds {_shortened(text)}, which no results file can hold")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _bounded(text: str) -> int:
    # Python refuses to read integers of very many digits, with an error of its own.
    if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
        _refuse(text)
    return int(text)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


class Reader:
    """One JSON object and where it stands, with a reader for every type that it may hold."""

    def __init__(self, value: Any, key: str = "") -> None:
        self._key = key
        if not isinstance(value, dict):
            raise TunedFileError(f"must be an object, got {_kind(value)}", key=key or None)
        self._value: dict[str, Any] = value

    def fail(self, name: str, message: str) -> NoReturn:
        """Raises the error for the value at `name`."""
        raise TunedFileError(message, key=self._path(name))

    def at(self, name: str) -> Reader:
        """The object at `name`."""
        return Reader(self._get(name), self._path(name))

    def names(self, limit: int | None = None) -> tuple[str, ...]:
        """The object's keys."""
        if limit is not None and len(self._value) > limit:
            raise TunedFileError(f"holds {len(self._value)} entries; at most {limit} are read", key=self._key)
        return tuple(self._value)

    def string(self, name: str) -> str:
        """The string at `name`."""
        value = self._get(name)
        return value if isinstance(value, str) else self._wrong(name, "a string")

    def boolean(self, name: str) -> bool:
        """The boolean at `name`."""
        value = self._get(name)
        return value if isinstance(value, bool) else self._wrong(name, "true or false")

    def scalar(self, name: str) -> int | float | str:
        """The number or string at `name`; true and false are neither."""
        value = self._get(name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return value
        return self._wrong(name, "a number or a string")

    def axis(self, name: str) -> int | str:
        """The positive integer or string at `name`."""
        value = self._get(name)
        if isinstance(value, str) or (type(value) is int and value > 0):
            return value
        return self._wrong(name, "a positive integer or a string")

    def positive(self, name: str) -> float:
        """The positive number at `name`."""
        value = self.scalar(name)
        if isinstance(value, str) or value <= 0:
            self._wrong(name, "a positive number")
        return value

    def interval(self, name: str) -> tuple[float, float]:
        """The interval `[low, high]` at `name`."""
        value = self._get(name)
        if isinstance(value, list) and len(value) == 2 and {type(end) for end in value} <= {int, float}:
            low, high = value
            if 0 <= low <= high:
                return low, high
        return self._wrong(name, "an interval [low, high]")

    def mapping(self, name: str) -> Mapping[str, Any]:
        """The object at `name`, as it is."""
        return self.at(name)._value

    def choice(self, name: str, allowed: Iterable[str]) -> str:
        """One of `allowed` at `name`."""
        value = self.string(name)
        return value if value in allowed else self._wrong(name, f"one of {', '.join(allowed)}")

    def is_null(self, name: str) -> bool:
        """True where `name` holds null."""
        return self._get(name) is None

    def rest(self, known: Iterable[str]) -> dict[str, Any]:
        """What is under other keys."""
        return {name: value for name, value in self._value.items() if name not in set(known)}

    def _get(self, name: str) -> Any:
        if name not in self._value:
            self.fail(name, "is missing")
        return self._value[name]

    def _wrong(self, name: str, expected: str) -> NoReturn:
        self.fail(name, f"must be {expected}, got {_kind(self._value[name])}")

    def _path(self, name: str) -> str:
        return f"{self._key}.{_shortened(name)}" if self._key else _shortened(name)


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return _shortened(json.dumps(value))
