"""Text from anywhere, as one line of a terminal or of an error can show it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]


def printable(text: str) -> str:
    """Keeps lines; spells out escape sequences and bytes that could not be decoded."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def brief(text: str, length: int) -> str:
    """At most `length` characters of a text, in one line, with everything unprintable spelled out."""
    shortened = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:length])
    return shortened if len(text) <= length else f"{shortened}..."


def dotted(key_path: KeyPath) -> str:
    """A key path as errors show it, for example `problems.tokens[2]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in key_path)
    return brief("".join(parts).removeprefix("."), 120)


def pairs(mapping: Mapping[str, Any]) -> str:
    """`a=1 b=2`."""
    return " ".join(f"{name}={value}" for name, value in mapping.items())


def shown(value: Any) -> str:
    """A value of a file as errors show it: short, printable, with its kind."""
    if isinstance(value, dict | list | tuple) or value is None:
        return kind_of(value)
    text = json.dumps(value)
    return f"{text if len(text) <= 60 else text[:56] + '...'} ({kind_of(value)})"


def kind_of(value: Any) -> str:
    """The kind of a plain value in plain words."""
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", dict: "a mapping"}
    return "nothing" if value is None else names.get(type(value), "a list")


def suggestion(word: str, allowed: Sequence[str]) -> str:
    """` (did you mean 'x'?)` where one of the allowed words is close, else nothing."""
    close = get_close_matches(word, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
