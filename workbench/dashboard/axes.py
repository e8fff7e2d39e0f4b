"""Axes of charts: their ends and ticks, so that the page places points and computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from workbench.dashboard.pictures import ChartAxis

_TICKS = 5
_MOST_TICKS = 9


def linear_axis(values: Iterable[float], label: str, *, from_zero: bool = True) -> ChartAxis:
    """An axis with ticks at round numbers."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = (0.0 if from_zero else min(known)), max(known)
    if high <= low:
        low, high = (0.0, high * 1.25) if high > 0 else (low, low + 1.0)
    step = _round_step((high - low) / _TICKS)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    ticks = tuple((number * step, _tick(number * step, step)) for number in range(first, last + 1))
    return ChartAxis(label, "linear", first * step, max(last * step, high), ticks)


def log2_axis(values: Iterable[float], label: str) -> ChartAxis:
    """A logarithmic axis with ticks at the values that occur."""
    distinct = sorted({value for value in values if value > 0}) or [1.0]
    low, high = distinct[0] / 1.25, distinct[-1] * 1.25
    return ChartAxis(label, "log", low, high, tuple((value, f"{value:g}") for value in _thinned(distinct)))


def count_axis(most: int, label: str) -> ChartAxis:
    """An axis from 1 to a count."""
    step = max(1, int(_round_step(most / _TICKS)))
    ticks = sorted({1, *range(step, most + 1, step)})
    return ChartAxis(label, "linear", 0.5, most + 0.5, tuple((float(tick), f"{tick:,}") for tick in ticks))


def _thinned(values: Sequence[float]) -> list[float]:
    stride = math.ceil(len(values) / _MOST_TICKS)
    return list(values[::stride])


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * 0.999)


def _tick(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}"
