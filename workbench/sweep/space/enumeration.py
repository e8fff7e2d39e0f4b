"""The legal configs of one problem: levels first, then each group of connected parameters, then their product."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Value
from workbench.sweep.constraints import Constraint
from workbench.sweep.space.join import BLOCK, Keys, Tally, TooManyError, in_order, join
from workbench.sweep.space.order import connected, join_order
from workbench.sweep.space.predicates import RAISED, REJECTED, Domain, Predicate, split


class Enumeration:
    """Enumerates the configs that the constraints of one problem do not reject.

    A constraint that raises on a config does not reject it; whether any is left that raises is asked in the end, so
    that it does not matter in which order constraints are evaluated.

    Args:
        levels: for each parameter of the space its values; the last parameter varies fastest.
        fixed: the value of everything else that a constraint may read.
        constraints: the constraints.
        tally: counts what is evaluated and rejected.
        weight: how many problems have these configs.
    """

    def __init__(
        self,
        levels: Mapping[str, Sequence[Value]],
        fixed: Mapping[str, Value],
        constraints: Sequence[Constraint],
        tally: Tally,
        *,
        weight: int = 1,
    ) -> None:
        self._levels = {name: tuple(values) for name, values in levels.items()}
        self._fixed = fixed
        self._tally = tally
        self._weight = weight
        sizes = [len(values) for values in self._levels.values()]
        self._strides = {name: math.prod(sizes[place + 1 :]) for place, name in enumerate(self._levels)}
        self._dtype = np.uint32 if math.prod(sizes) <= 1 << 32 else np.int64
        self._domains = {
            name: Domain(values, np.arange(len(values), dtype=np.int64) * self._strides[name])
            for name, values in self._levels.items()
        }
        self._is_possible = True
        self._predicates = self._narrowed(constraints)

    def keys(self, most: int) -> Keys:
        """The configs' keys in ascending order, those on which a constraint raises included.

        Args:
            most: the most keys that may come out.

        Raises:
            TooManyError: there are more, or too much has to be evaluated.
        """
        keys, *others = self._groups(most) or [np.zeros(1, self._dtype)]
        for found in others:
            keys = (keys[:, None] + found[None, :]).ravel()
        return in_order(keys)

    def first_raising(self, keys: Keys) -> dict[str, Value] | None:
        """What a constraint may read of the first config on which one raises, None where none does."""
        rows = [self._raising(each, keys) for each in self._predicates if each.raised]
        first = min((row for row in rows if row is not None), default=None)
        if first is None:
            return None
        places = {name: int(self._places(name, keys[first : first + 1])[0]) for name in self._levels}
        return {**self._fixed, **{name: self._domains[name].levels[place] for name, place in places.items()}}

    @property
    def _size(self) -> int:
        """How many combinations the levels that are left have."""
        return math.prod(map(len, self._domains.values())) if self._is_possible else 0

    def _narrowed(self, constraints: Sequence[Constraint]) -> list[Predicate]:
        """Drops the levels that a constraint rejects by themselves; the predicates over those that are left."""
        kept = []
        for index, constraint in enumerate(constraints):
            for each in split(index, constraint, self._fixed, self._domains):
                part = each.over(self._domains)
                if len(part.names) > 1 or part.table is None or part.raised:
                    kept.append(part)
                else:
                    self._narrow(part, part.table != REJECTED)
        return [each.over(self._domains) for each in kept]

    def _narrow(self, part: Predicate, alive: NDArray[np.bool_]) -> None:
        before = self._size
        for name in part.names:
            self._domains[name] = self._domains[name].only(np.flatnonzero(alive))
        self._is_possible = self._is_possible and bool(alive.any())
        self._tally.rejected[part.index] += (before - self._size) * self._weight

    def _groups(self, most: int) -> list[Keys]:
        """The keys of each group of connected parameters, small groups enumerated first; one empty, all empty."""
        groups = connected(tuple(self._levels), self._predicates)
        found: dict[tuple[str, ...], Keys] = {}
        count, left = 1, self._size
        for group in sorted(groups, key=self._combinations):
            if not count * left:
                return [np.zeros(0, self._dtype)]
            left //= self._combinations(group)
            found[group] = self._joined(group, count, left, most)
            count *= len(found[group])
            if count > most:
                raise TooManyError(count)
        return [found[group] for group in groups] if count * left else [np.zeros(0, self._dtype)]

    def _combinations(self, group: Sequence[str]) -> int:
        return math.prod(len(self._domains[name]) for name in group)

    def _joined(self, group: Sequence[str], count: int, left: int, most: int) -> Keys:
        """A group's keys, where `count` combinations of earlier groups and `left` of later ones go with each."""
        predicates = [each for each in self._predicates if set(each.names) & set(group)]
        sizes = {name: len(self._domains[name]) for name in group}
        order = join_order(group, sizes, predicates)
        try:
            return join(
                order,
                self._domains,
                predicates,
                self._tally,
                weight=count * left * self._weight,
                most=most // count,
                dtype=self._dtype,
            )
        except TooManyError as error:
            raise TooManyError(error.configs and error.configs * count) from None

    def _places(self, name: str, keys: Keys) -> NDArray[np.intp]:
        """Which of its domain's levels a parameter has in some configs."""
        size, stride = len(self._levels[name]), self._strides[name]
        return np.searchsorted(self._domains[name].offsets, keys // stride % size * stride)

    def _raising(self, predicate: Predicate, keys: Keys) -> int | None:
        """The first row on which a predicate raises."""
        for start in range(0, len(keys), BLOCK):
            some = keys[start : start + BLOCK]
            places = {name: self._places(name, some) for name in predicate.names}
            raising = np.broadcast_to(predicate.verdicts(places) == RAISED, some.shape)
            if raising.any():
                return start + int(raising.argmax())
        return None
