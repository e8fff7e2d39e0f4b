"""Enumerates configs by joining one parameter at a time, in blocks, so that no partial product fills the memory.

A config is a key: the places of its levels as the digits of one number, the last listed parameter the lowest digit.
Rows hold only their key and what predicates still to come will read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.sweep.space.order import completed
from workbench.sweep.space.predicates import REJECTED, Domain, Domains, Predicate, Verdicts

Keys = NDArray[Any]

BLOCK = 1 << 18
"""Combinations evaluated at once; their arrays stay in a core's cache."""


class TooManyError(Exception):
    """The enumeration was given up.

    Args:
        configs: how many configs there are at least, None where there was too much to evaluate.
    """

    def __init__(self, configs: int | None = None) -> None:
        super().__init__(configs)
        self.configs = configs


@dataclass(slots=True)
class Tally:
    """Counts what an enumeration does.

    Attributes:
        most_evaluated: combinations after which the enumeration is given up.
        rejected: by the index of the constraint, the full configs that it ruled out.
    """

    most_evaluated: int
    evaluated: int = 0
    rejected: Counter[int] = field(default_factory=Counter)

    def evaluate(self, count: int) -> None:
        """Notes that some combinations are evaluated.

        Raises:
            TooManyError: they are too many.
        """
        self.evaluated += count
        if self.evaluated > self.most_evaluated:
            raise TooManyError


@dataclass(frozen=True, slots=True)
class PartialConfigs:
    """Some rows: configs in the parameters joined so far.

    Attributes:
        places: the places of levels in their domain, for each parameter that is still needed.
    """

    keys: Keys
    places: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, rows: Any) -> PartialConfigs:
        """Some of the rows."""
        return PartialConfigs(self.keys[rows], {name: places[rows] for name, places in self.places.items()})


def join(
    order: Sequence[str],
    domains: Domains,
    predicates: Sequence[Predicate],
    tally: Tally,
    *,
    weight: int,
    most: int,
    dtype: type[np.integer[Any]],
) -> Keys:
    """The sorted keys of all combinations of some parameters that their predicates do not reject.

    Args:
        order: the parameters, in the order of joining.
        domains: their levels.
        predicates: what holds between them.
        tally: counts what is evaluated and rejected.
        weight: for how many full configs each combination stands.
        most: the most keys that may come out.
        dtype: of the keys.

    Raises:
        TooManyError: there are more keys, or more evaluations than the tally allows.
    """
    steps = list(_steps(order, domains, predicates, weight))
    if math.prod(len(step.domain) for step in steps) > most:
        # Counting first takes a fraction of the time that joining takes, and no memory.
        _check_count(steps, Tally(tally.most_evaluated - tally.evaluated), most, dtype)
    found = [block.keys for block in _joined_all(steps, tally, dtype)]
    return in_order(np.concatenate([np.zeros(0, dtype), *found]))


def _check_count(steps: Sequence[_Step], tally: Tally, most: int, dtype: type[np.integer[Any]]) -> None:
    count = 0
    for block in _joined_all(steps[:-1], tally, dtype):
        for part in _slices(block, steps[-1]):
            count += int(np.count_nonzero(_alive(part, steps[-1], tally)))
            if count > most:
                raise TooManyError(count)


def _joined_all(
    steps: Iterable[_Step], tally: Tally, dtype: type[np.integer[Any]]
) -> Iterator[PartialConfigs]:
    blocks: Iterator[PartialConfigs] = iter([PartialConfigs(np.zeros(1, dtype), {})])
    for step in steps:
        blocks = _joined(blocks, step, tally)
    return blocks


def in_order(keys: Keys) -> Keys:
    """The keys, sorted in place where they are not."""
    if not np.all(keys[1:] > keys[:-1]):
        keys.sort()
    return keys


@dataclass(frozen=True, slots=True)
class _Check:
    """A predicate at the step that completes it.

    Attributes:
        known: its parameters that rows already have, with the factor of their place in a row of `table`.
        table: its verdicts, one column a level of the new parameter; None where there is no table.
    """

    predicate: Predicate
    known: Mapping[str, int]
    table: Verdicts | None

    def verdicts(self, block: PartialConfigs, name: str, size: int) -> Verdicts:
        """The verdict on every row of a block with every level of the new parameter."""
        if self.table is None:
            places = {each: block.places[each][:, None] for each in self.known}
            return self.predicate.verdicts({**places, name: np.arange(size)[None, :]})
        row = np.zeros(len(block), np.intp)
        for each, factor in self.known.items():
            row += block.places[each].astype(np.intp) * factor
        verdicts: Verdicts = self.table.take(row, axis=0)
        return verdicts


@dataclass(frozen=True, slots=True)
class _Step:
    """The joining of one parameter.

    Attributes:
        checks: what can be evaluated now.
        kept: the parameters that later steps read.
        weight: for how many full configs a row stands afterwards.
    """

    name: str
    domain: Domain
    checks: Sequence[_Check]
    kept: frozenset[str]
    weight: int


def _steps(
    order: Sequence[str], domains: Domains, predicates: Sequence[Predicate], weight: int
) -> Iterator[_Step]:
    for number, name in enumerate(order):
        weight_after = weight
        for later in order[number + 1 :]:
            weight_after *= len(domains[later])
        checks = [_check(each, name) for each in completed(predicates, order[: number + 1])]
        pending = [each for each in predicates if not set(each.names) <= set(order[: number + 1])]
        kept = frozenset(each for predicate in pending for each in predicate.names)
        yield _Step(name, domains[name], checks, kept, weight_after)


def _check(predicate: Predicate, name: str) -> _Check:
    known = [each for each in predicate.names if each != name]
    if predicate.table is None:
        return _Check(predicate, dict.fromkeys(known, 0), None)
    table = np.moveaxis(predicate.table, predicate.names.index(name), -1)
    factors = np.cumprod([1, *table.shape[-2::-1]]).tolist()
    flat = np.ascontiguousarray(table.reshape(factors[-1], -1))
    return _Check(predicate, dict(zip(known, reversed(factors[:-1]), strict=True)), flat)


def _joined(blocks: Iterable[PartialConfigs], step: _Step, tally: Tally) -> Iterator[PartialConfigs]:
    """Joins a parameter to every row; small results are put together, so that later steps get full blocks."""
    pending: list[PartialConfigs] = []
    count = 0
    for part in chain.from_iterable(_slices(block, step) for block in blocks):
        pending.append(_extended(part, step, tally))
        count += len(pending[-1])
        if count >= BLOCK:
            yield _together(pending)
            pending, count = [], 0
    if pending:
        yield _together(pending)


def _slices(block: PartialConfigs, step: _Step) -> Iterator[PartialConfigs]:
    """The rows in portions that have at most `BLOCK` combinations with the step's levels."""
    height = max(1, BLOCK // len(step.domain))
    for start in range(0, len(block), height):
        yield block.rows(slice(start, start + height))


def _extended(block: PartialConfigs, step: _Step, tally: Tally) -> PartialConfigs:
    size = len(step.domain)
    places = np.flatnonzero(_alive(block, step, tally))
    rows = places // size
    levels = places - rows * size
    kept = {name: each[rows] for name, each in block.places.items() if name in step.kept}
    if step.name in step.kept:
        kept[step.name] = levels.astype(np.min_scalar_type(size))
    offsets = step.domain.offsets.astype(block.keys.dtype)
    return PartialConfigs(block.keys[rows] + offsets[levels], kept)


def _alive(block: PartialConfigs, step: _Step, tally: Tally) -> NDArray[np.bool_]:
    """Which levels each row can take; what raises stays, until it is known that nothing else rejects it."""
    size = len(step.domain)
    tally.evaluate(len(block) * size)
    alive = np.ones((len(block), size), dtype=bool)
    left = alive.size
    for check in step.checks:
        alive &= check.verdicts(block, step.name, size) != REJECTED
        before, left = left, int(np.count_nonzero(alive))
        tally.rejected[check.predicate.index] += (before - left) * step.weight
    return alive


def _together(blocks: Sequence[PartialConfigs]) -> PartialConfigs:
    if len(blocks) == 1:
        return blocks[0]
    names = blocks[0].places
    places = {name: np.concatenate([block.places[name] for block in blocks]) for name in names}
    return PartialConfigs(np.concatenate([block.keys for block in blocks]), places)
