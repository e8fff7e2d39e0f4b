"""Fields of many events as columns of int64, whatever a file holds in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from workbench.timeline.trace import Int, Mask

# Sums and differences of what lies within still fit 64 bits; 73 years in ns.
LIMIT = 1 << 61
# No clock counts so far; beyond, a number is a mistake that only costs time to compute with.
LARGEST_US = 1e30
_SAMPLE = 1000


def clock_of(values: Sequence[Any]) -> int:
    """A time that lies amid the given ones, ns: what the columns of a trace count from."""
    exact = sorted(each for value in values[:_SAMPLE] if (each := _nanoseconds(value)) is not None)
    return exact[len(exact) // 2] if exact else 0


def nanoseconds(values: Sequence[Any], clock: int = 0) -> tuple[Int, Mask]:
    """Times in microseconds, as JSON has them, in whole ns since `clock`, and which are valid (others are 0)."""
    if set(map(type, values)) == {float} and abs(clock) < LIMIT:
        column = np.array(values, dtype=np.float64)
        if (np.abs(column) < LIMIT / 1000).all():
            return np.rint(column * 1000).astype(np.int64) - clock, np.ones(len(column), dtype=np.bool_)
    exact = [None if (each := _nanoseconds(value)) is None else each - clock for value in values]
    valid = np.array([each is not None and abs(each) < LIMIT for each in exact], dtype=np.bool_)
    pairs = zip(exact, valid.tolist(), strict=True)
    return np.array([each if is_valid else 0 for each, is_valid in pairs], dtype=np.int64), valid


def _nanoseconds(value: Any) -> int | None:
    number: Any = value if type(value) in {int, float, Decimal} else math.nan
    return round(number * 1000) if abs(number) < LARGEST_US else None


def ids(values: Sequence[Any]) -> Int:
    """Whole numbers that name something; -1 for what is none."""
    return np.array(
        [each if type(each) is int and abs(each) < LIMIT else -1 for each in values], dtype=np.int64
    )


def codes(values: Iterable[Any]) -> tuple[Int, list[Any]]:
    """Numbers for distinct values in the order in which they first occur, and those values."""
    numbers: dict[Any, int] = {}
    column = [numbers.setdefault(value, len(numbers)) for value in values]
    return np.array(column, dtype=np.int64), list(numbers)


def texts(values: Iterable[Any]) -> list[str]:
    """Names, whatever the file has there."""
    return [each if type(each) is str and each.isascii() else text(each) for each in values]


def text(value: Any) -> str:
    """A name that can be written again: half of a surrogate pair, which JSON can spell, is no character."""
    return str(value).encode("utf-8", "replace").decode()
