"""Fields of many events as columns of int64, whatever a file holds in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from workbench.timeline.trace import Int, Mask

# Sums and differences of what lies within still fit 64 bits.
LIMIT = 1 << 61


def nanoseconds(values: Sequence[Any]) -> tuple[Int, Mask]:
    """Times in microseconds, as JSON has them, in whole nanoseconds, and which of them are valid (the rest are 0)."""
    kinds = set(map(type, values))
    if kinds <= {int, float} and kinds != {int}:
        column = np.array(values, dtype=np.float64)
        valid = np.abs(column) < LIMIT / 1000
        return np.rint(np.where(valid, column, 0.0) * 1000).astype(np.int64), valid
    exact = [_nanoseconds(value) for value in values]
    valid = np.array([each is not None for each in exact], dtype=np.bool_)
    return np.array([each or 0 for each in exact], dtype=np.int64), valid


def _nanoseconds(value: Any) -> int | None:
    number: Any = value if type(value) in {int, float, Decimal} else math.nan
    return round(number * 1000) if math.isfinite(number) and abs(number) < LIMIT / 1000 else None


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
    return [each if type(each) is str else str(each) for each in values]
