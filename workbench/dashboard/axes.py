"""Axes of charts: their ends and ticks, so that the page places points and computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from workbench.dashboard.blocks import Axis

_TICKS = 5
_MOST_TICKS = 9


def linear_axis(values: Iterable[float], label: str, *, from_zero: bool = True) -> Axis:
    """An axis with ticks at round numbers."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = (0.0 if from_zero else min(known)), max(known)
    if high <= low:
        low, high = (0.0, high * 1.25) if high > 0 else (low, low + 1.0)
    step = _round_step((high - low) / _TICKS)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    ticks = tuple((number * step, _tick(number * step, step)) for number in range(first, last + 1))
    return Axis(label, "linear", first * step, max(last * step, high), ticks)


def log2_axis(values: Iterable[float], label: str) -> Axis:
    """A logarithmic axis with ticks at the values that occur."""
    distinct = sorted({value for value in values if value > 0}) or [1.0]
    low, high = distinct[0] / 1.25, distinct[-1] * 1.25
    return Axis(label, "log", low, high, tuple((value, f"{value:g}") for value in _thinned(distinct)))


def log_axis(values: Iterable[float], label: str) -> Axis:
    """A logarithmic axis with ticks that read well between the ends."""
    known = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    low, high = min(known), max(known)
    low, high = low / (high / low) ** 0.06 / 1.02, high * (high / low) ** 0.06 * 1.02
    return Axis(label, "log", low, high, tuple((tick, f"{tick:g}") for tick in _log_ticks(low, high)))


def count_axis(most: int, label: str) -> Axis:
    """An axis from 1 to a count."""
    step = max(1, int(_round_step(most / _TICKS)))
    ticks = sorted({1, *range(step, most + 1, step)})
    return Axis(label, "linear", 0.5, most + 0.5, tuple((float(tick), f"{tick:,}") for tick in ticks))


def _log_ticks(low: float, high: float) -> list[float]:
    for digits in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        tuple(each / 10 for each in range(10, 100)),
    ):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [round(digit * 10.0**power, 9) for power in powers for digit in digits]
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) >= 3:
            return _thinned(found)
    return [float(f"{low:.3g}"), float(f"{high:.3g}")]


def _thinned(values: Sequence[float]) -> list[float]:
    stride = math.ceil(len(values) / _MOST_TICKS)
    return list(values[::stride])


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * 0.999)


def _tick(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}"
