"""Configs as the Gaussian process sees them: coordinates in which it measures distance, and features of main effects.

Coordinates lie between 0 and 1 and hold what a kernel tuner knows about a parameter. Each is a sum of functions of
single parameters, so a table of values by level is all that is kept of it: log2 of a numeric parameter; how often 2
divides it (48 and 80 alike, 256 not), which vector loads, banks and warps care about; sums of two logarithms, since
areas of tiles and threads of a block are products; 0 and 1 of a binary parameter; and one indicator a level of a
categorical one, scaled so that two unequal levels are at distance 1.

A main effect is a smooth function of one parameter alone; their sum reaches configs far from any that was tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Parameter, Value
from workbench.trials.config_table import ConfigTable

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]

# Ranges are read off at most so many configs; a coordinate that leaves [0, 1] a little elsewhere does no harm.
SCALED_ON = 50_000
# Length scale of an effect, its parameter's levels spread over [0, 1]; and the least variance of a feature kept.
EFFECT_LENGTH, LEAST_VARIANCE = 0.7, 1e-3


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate: a sum over some parameters of a function of each.

    Attributes:
        terms: the function of each parameter's value, by the parameter's name.
        group: coordinates of one group share a length scale.
    """

    terms: Mapping[str, Callable[[Value], float]]
    group: str


class Coordinates:
    """The coordinates of all configs of one problem.

    Args:
        parameters: the kernel's; parameters with one level, and coordinates that repeat another, are left out.
        table: the legal configs.

    Attributes:
        groups: [coordinates], the index of each coordinate's group.
    """

    def __init__(self, parameters: Sequence[Parameter], table: ConfigTable) -> None:
        self._table = table
        kinds = {parameter.name: parameter.kind for parameter in parameters}
        found = list(_coordinates(kinds, _levels_in_use(table)))
        sample = np.linspace(0, max(len(table) - 1, 0), min(len(table), SCALED_ON)).astype(np.int64)
        raw = self._sum(_by_level(found, table), sample, len(found))
        kept = _distinct(raw)
        self._kept = [found[index] for index in kept]
        self._low, self._scale = _ranges(raw[:, kept], [each.group for each in self._kept])
        self._by_level = _by_level(self._kept, table)
        names = list(dict.fromkeys(each.group for each in self._kept))
        self.groups = np.asarray([names.index(each.group) for each in self._kept], dtype=np.intp)
        self.num_groups = len(names)

    def of_rows(self, rows: NDArray[np.int64]) -> Matrix:
        """[rows, coordinates] of some configs of the table."""
        return (self._sum(self._by_level, rows, len(self._kept)) - self._low) * self._scale

    def of_levels(self) -> list[Matrix]:
        """For each parameter [levels, coordinates], where its levels lie in the coordinates that are its alone."""
        positions = []
        for name, values in zip(self._table.names, self._by_level, strict=True):
            own = [index for index, each in enumerate(self._kept) if each.group == name]
            positions.append((values[:, own] - self._low[own]) * self._scale[own])
        return positions

    def of_configs(self, configs: Sequence[Config]) -> Matrix:
        """[configs, coordinates] of configs from elsewhere, with values that this table may lack."""
        raw = [[_value(each, config) for each in self._kept] for config in configs]
        matrix = np.asarray(raw, dtype=np.float32).reshape(len(configs), len(self._kept))
        return (matrix - self._low) * self._scale

    def _sum(self, by_level: Sequence[Matrix], rows: NDArray[np.int64], width: int) -> Matrix:
        total = np.zeros((len(rows), width), dtype=np.float32)
        for column, values in enumerate(by_level):
            if values.any():
                total += values[self._table.codes[rows, column]]
        return total


class MainEffects:
    """Features whose products sum to the mean, over the parameters, of a Matern-5/2 covariance of each.

    Args:
        table: the legal configs.
        positions: for each parameter [levels, coordinates], where its levels lie; no columns where it is constant.

    Attributes:
        width: how many features there are.
    """

    def __init__(self, table: ConfigTable, positions: Sequence[Matrix]) -> None:
        self._table = table
        varying = max(1, sum(each.shape[1] > 0 for each in positions))
        self._by_level = [_factor(_effect_covariance(each)) / np.sqrt(varying) for each in positions]
        self.width = sum(each.shape[1] for each in self._by_level)

    def of_rows(self, rows: NDArray[np.int64]) -> Matrix:
        """[rows, features] of some configs of the table."""
        columns = [values[self._table.codes[rows, column]] for column, values in enumerate(self._by_level)]
        return np.concatenate(columns, axis=1).astype(np.float32)


def _levels_in_use(table: ConfigTable) -> dict[str, list[Value]]:
    """The levels that some legal config has, for every parameter that has at least two of them."""
    used = {name: np.unique(table.codes[:, column]) for column, name in enumerate(table.names)}
    return {
        name: [table.levels[name][code] for code in codes] for name, codes in used.items() if len(codes) > 1
    }


def _coordinates(kinds: Mapping[str, str], levels: Mapping[str, Sequence[Value]]) -> Iterable[Coordinate]:
    logarithmic = [name for name in levels if _is_logarithmic(kinds.get(name, "numeric"), levels[name])]
    for name, values in levels.items():
        if name in logarithmic:
            yield Coordinate({name: _log2}, name)
            if _has_odd_factors(values):
                yield Coordinate({name: _times_even}, f"{name} by 2")
        elif kinds.get(name) == "categorical" or not _are_numbers(values):
            for value in values:
                yield Coordinate({name: _indicator(value)}, name)
        else:
            yield Coordinate({name: float}, name)
    for one, other in combinations(logarithmic, 2):
        yield Coordinate({one: _log2, other: _log2}, f"{one} * {other}")


def _is_logarithmic(kind: str, values: Sequence[Value]) -> bool:
    return kind == "numeric" and _are_numbers(values) and all(float(value) > 0 for value in values)


def _are_numbers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _has_odd_factors(values: Sequence[Value]) -> bool:
    whole = all(float(value).is_integer() for value in values)
    return whole and any(int(value) & (int(value) - 1) for value in values)


def _log2(value: Value) -> float:
    return math.log2(float(value)) if float(value) > 0 else 0.0


def _times_even(value: Value) -> float:
    whole = int(value)
    return float((whole & -whole).bit_length() - 1) if whole else 0.0


def _indicator(level: Value) -> Callable[[Value], float]:
    return lambda value: math.sqrt(0.5) if value == level else 0.0


def _value(coordinate: Coordinate, config: Config) -> float:
    return sum(term(config[name]) for name, term in coordinate.terms.items())


def _by_level(coordinates: Sequence[Coordinate], table: ConfigTable) -> list[Matrix]:
    """For each parameter [levels, coordinates]: what each of its levels adds to each coordinate."""
    matrices = []
    for name, levels in table.levels.items():
        matrix = np.zeros((len(levels), len(coordinates)), dtype=np.float32)
        for index, coordinate in enumerate(coordinates):
            if name in coordinate.terms:
                matrix[:, index] = [coordinate.terms[name](level) for level in levels]
        matrices.append(matrix)
    return matrices


def _distinct(raw: Matrix) -> list[int]:
    """The columns that vary, each once, up to an offset and a scale."""
    seen: set[bytes] = set()
    kept = []
    for index, column in enumerate(raw.T):
        span = np.ptp(column) if len(column) else 0.0
        if span > 0 and (key := np.round((column - column.min()) / span, 5).tobytes()) not in seen:
            seen.add(key)
            kept.append(index)
    return kept


def _ranges(raw: Matrix, groups: Sequence[str]) -> tuple[Matrix, Matrix]:
    """Offset and scale of each column; indicators, of which a group has several, keep the scale they have."""
    several: Any = np.asarray([groups.count(group) > 1 for group in groups], dtype=bool)
    low, high = (raw.min(axis=0), raw.max(axis=0)) if raw.size else (np.zeros(0), np.zeros(0))
    span = np.where(several, 1, np.where(high > low, high - low, 1))
    return np.where(several, 0, low).astype(np.float32), (1 / span).astype(np.float32)


def _effect_covariance(positions: Matrix) -> Floats:
    """Matern-5/2 [levels, levels], zero where the parameter is constant."""
    if not positions.shape[1]:
        return np.zeros((len(positions), len(positions)))
    r2 = ((positions[:, None] - positions[None]) ** 2).sum(axis=2).astype(np.float64) / EFFECT_LENGTH**2
    r = np.sqrt(5 * r2)
    result: Floats = (1 + r + 5 / 3 * r2) * np.exp(-r)
    return result


def _factor(covariance: Floats) -> Floats:
    """[levels, features], whose products give the covariance but for what little variance is left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > LEAST_VARIANCE
    factor: Floats = vectors[:, kept] * np.sqrt(values[kept])
    return factor
