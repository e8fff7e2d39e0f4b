"""A column of values as numpy calculates with it, with what it takes to know where Python would calculate otherwise.

Numpy's int64 wraps, and an int64 becomes a float64 by rounding; Python's integers do neither. A row in which either
could happen, or for which Python would raise, is *doubtful*: its value here means nothing, and whoever wants it
evaluates the row by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Value

Array = NDArray[Any]
Mask = NDArray[np.bool_]

INT_LIMIT = 1 << 62
FLOAT_EXACT = 1 << 53


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """One operand in every row. Arrays broadcast against those of other columns.

    Attributes:
        values: bool, int64, float64, or strings as objects.
        doubtful: where the value is not to be relied on.
        bound: of int64 values, no magnitude is larger where they are not doubtful.
        mixed: True for float64 values some of which are integers in Python, exact below 2**53.
    """

    values: Array
    doubtful: Mask
    bound: int = 1
    mixed: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the values are strings."""
        return self.values.dtype.kind == "O"

    @property
    def is_truth(self) -> bool:
        """Whether the values are true and false, not numbers or strings."""
        return self.values.dtype.kind == "b"

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers, which true and false are to arithmetic."""
        return self.values.dtype.kind in "bi"

    def take(self, rows: Array) -> ValueColumn:
        """The column at some rows; takes the shape of `rows`."""
        doubtful = self.doubtful[rows] if self.doubtful.any() else NO_DOUBT
        return ValueColumn(self.values[rows], doubtful, self.bound, self.mixed)

    def as_integers(self) -> Array:
        """The values of a column of integers."""
        return self.values.astype(np.int64, copy=False)

    def as_floats(self) -> tuple[Array, Mask]:
        """The values of a column of numbers, and where they are doubtful as floats."""
        beyond = NO_DOUBT
        if self.is_integer and self.bound >= FLOAT_EXACT:
            beyond = np.abs(self.values) >= FLOAT_EXACT
        return self.values.astype(np.float64, copy=False), self.doubtful | beyond


NO_DOUBT: Mask = np.zeros((), dtype=bool)
UNKNOWN = ValueColumn(np.zeros((), dtype=bool), np.ones((), dtype=bool))


def column_of(values: Sequence[Value] | Array) -> ValueColumn:
    """The column of some values; those that numpy cannot hold together as Python does are all doubtful."""
    if isinstance(values, np.ndarray):
        return _of_array(values)
    types = {type(value) for value in values}
    if types in ({bool}, {str}):
        return ValueColumn(np.asarray(values, bool if bool in types else object), NO_DOUBT)
    if not types <= {int, float}:
        return ValueColumn(np.zeros(len(values), dtype=bool), np.ones(len(values), dtype=bool))
    mixed = types == {int, float}
    limit = FLOAT_EXACT if mixed else INT_LIMIT
    doubtful = np.asarray([type(value) is int and abs(value) >= limit for value in values], dtype=bool)
    usable = [0 if out else value for value, out in zip(values, doubtful, strict=True)]
    array = np.asarray(usable, np.int64 if types == {int} else np.float64)
    return ValueColumn(array, doubtful if doubtful.any() else NO_DOUBT, _bound(array), mixed)


def _of_array(values: Array) -> ValueColumn:
    is_plain = values.dtype in (np.bool_, np.int64, np.float64)
    if is_plain and (bound := _bound(values)) < INT_LIMIT:
        return ValueColumn(values, NO_DOUBT, bound)
    return column_of(values.tolist())


def _bound(values: Array) -> int:
    if values.dtype.kind != "i" or not len(values):
        return 1
    return max(1, abs(int(values.min())), abs(int(values.max())))


def constant(value: Value) -> ValueColumn:
    """One value that is the same in every row."""
    column = column_of([value])
    return ValueColumn(column.values.reshape(()), np.asarray(column.doubtful.any()), column.bound)
