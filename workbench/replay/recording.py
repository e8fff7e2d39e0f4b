"""Reads recordings, strictly: nothing in one is executed, and what does not fit is one clear error."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from moe_kernels.tunable import Parameter, Value
from workbench.base.errors import InputError
from workbench.base.files import read_bytes
from workbench.base.text import brief

MAX_BYTES = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_recording(path: Path) -> bytes:
    """A recording's content, unpacked where its name ends in `.gz`.

    Raises:
        InputError: it cannot be read, or its gzip is damaged or unpacks to more than a recording has.
    """
    return read_bytes(path, MAX_BYTES, packed=path.suffix == ".gz")


def digest_of(content: bytes) -> str:
    """What names a recording, whatever its path and packing."""
    return hashlib.sha256(content).hexdigest()[:16]


def parse_json(content: bytes, path: Path, line: int | None = None) -> Any:
    """Strict JSON: UTF-8, no NaN, no infinity, no key twice.

    Raises:
        InputError: names the place.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"holds {constant}, which is no finite number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("holds a key twice")
        return found

    try:
        return json.loads(content.decode("utf-8"), parse_constant=refuse, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        what = f"truncated or no JSON ({error.msg})"
        raise InputError(what, file=path, line=line or error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON that is read here ({error})", file=path, line=line) from None


def taken(source: Mapping[str, Any], key: str, kind: type, path: Path, *, inside: str = "") -> Any:
    """A value of a mapping, of the type that it must have; `inside` is where the mapping itself stands.

    Raises:
        InputError: it is missing, or of another type.
    """
    value = source.get(key)
    if type(value) is not kind:
        found = "is missing" if key not in source else f"must be {_WORDS[kind]}, got {brief(repr(value), 40)}"
        raise InputError(f"wrong schema: {found}", file=path, key=f"{inside}{key}")
    return value


_WORDS = {dict: "a mapping", list: "a list", str: "a string", int: "an integer"}


def kernel_name(name: str, path: Path) -> str:
    """A kernel's name, if it can name a folder.

    Raises:
        InputError: it cannot.
    """
    return _checked(name, _NAME.fullmatch, "letters, digits, '_' and '-'", path, "kernel_name")


def device_name(name: str, path: Path) -> str:
    """A device's name, if its slug can name a folder.

    Raises:
        InputError: it cannot.
    """
    slug = re.sub(r"[\s/]+", "_", name)
    _checked(slug, _DEVICE.fullmatch, "letters, digits, spaces and . _ - /", path, "device_name")
    return name


def _checked(name: str, fits: Callable[[str], Any], allowed: str, path: Path, key: str) -> str:
    if not fits(name):
        raise InputError(f"{brief(name, 60)!r} is no name; allowed: {allowed}", file=path, key=key)
    return name


def positive_time(value: float, path: Path, key: str) -> float:
    """A recorded time, unchanged.

    Raises:
        InputError: it is not finite or not positive.
    """
    if not (math.isfinite(value) and value > 0.0):
        raise InputError(f"a time must be positive and finite, got {value!r}", file=path, key=brief(key, 80))
    return value


def guessed_parameter(name: str, values: Sequence[Value]) -> Parameter:
    """A parameter of a recording that does not describe its parameters: its kind is read off its values.

    Two levels 0 and 1 are a switch. Numbers above 0 are ordered. Anything else, 0 among more than two numbers
    included (where it stands for "off" or "whatever the compiler likes"), is a set of names.
    """
    numbers = all(isinstance(value, int | float) for value in values)
    if numbers and set(values) <= {0, 1}:
        return Parameter(name, values[0], kind="binary")
    ordered = numbers and all(value > 0 for value in values if isinstance(value, int | float))
    return Parameter(name, values[0], kind="numeric" if ordered else "categorical")
