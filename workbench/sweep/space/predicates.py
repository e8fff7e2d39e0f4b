"""What a constraint says of the levels of the parameters that it reads, one problem's axes given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Value
from workbench.base.errors import InputError
from workbench.sweep.constraints import Constraint
from workbench.sweep.constraints.column import ValueColumn, column_of, constant
from workbench.sweep.constraints.columns import evaluator

Places = NDArray[Any]
Verdicts = NDArray[np.int8]

REJECTED, ALLOWED, RAISED = 0, 1, 2
TABLE_SIZE = 1 << 20
"""Level combinations up to which a constraint is tabulated, 1 byte each."""
MAX_SETTLED = 1_000_000
"""Combinations of one predicate that Python is asked about, because numpy leaves them in doubt; some seconds."""


class DoubtError(Exception):
    """Numpy leaves too much in doubt.

    Args:
        index: of the constraint in the sweep file.
    """

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@dataclass(frozen=True, slots=True)
class Domain:
    """The levels of one parameter that are still possible.

    Attributes:
        offsets: for each, what it adds to the key of a config.
    """

    levels: tuple[Value, ...]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.levels)

    def only(self, places: Places) -> Domain:
        """The domain with some of its levels."""
        return Domain(tuple(self.levels[place] for place in places), self.offsets[places])


Domains = Mapping[str, Domain]


class Predicate:
    """A constraint, or a part of one, over the domains that are left.

    Args:
        index: of the constraint in the sweep file.
        constraint: the constraint or the part.
        fixed: the values of what is no parameter of the space.
        domains: of the parameters.

    Attributes:
        names: the parameters that it reads, in the order of `domains`.
    """

    def __init__(
        self, index: int, constraint: Constraint, fixed: Mapping[str, Value], domains: Domains
    ) -> None:
        self.index = index
        self.constraint = constraint
        self._raised = False
        self._settled = 0
        self.names = tuple(name for name in domains if name in constraint.names)
        self._fixed = {name: fixed[name] for name in constraint.names - set(domains)}
        self._levels = {name: domains[name].levels for name in self.names}
        self._columns = {name: column_of(levels) for name, levels in self._levels.items()}
        self._constants = {name: constant(value) for name, value in self._fixed.items()}
        self._evaluate = evaluator(constraint)

    @property
    def size(self) -> int:
        """How many combinations of levels it tells apart."""
        return math.prod(map(len, self._levels.values()))

    @cached_property
    def table(self) -> Verdicts | None:
        """The verdict on every combination, an axis a name; None where there are too many."""
        if self.size > TABLE_SIZE:
            return None
        shape = [len(levels) for levels in self._levels.values()]
        places = np.indices(shape, np.intp, sparse=True)
        return self.verdicts(dict(zip(self.names, places, strict=True)))

    @property
    def raised(self) -> bool:
        """Whether any evaluation so far has raised; those of the table are all made first."""
        _ = self.table
        return self._raised

    @property
    def density(self) -> float:
        """The share of combinations that are not rejected; a guess where they are too many to count."""
        return 0.5 if self.table is None else float(np.count_nonzero(self.table)) / max(1, self.table.size)

    def over(self, domains: Domains) -> Predicate:
        """The same predicate over what other domains leave."""
        if all(domains[name].levels == self._levels[name] for name in self.names):
            return self
        return Predicate(
            self.index, self.constraint, self._fixed, {name: domains[name] for name in self.names}
        )

    def verdicts(self, places: Mapping[str, Places]) -> Verdicts:
        """The verdict on some combinations.

        Args:
            places: for each name places in its domain; the arrays broadcast against each other.

        Raises:
            DoubtError: Python would have to be asked about too many.
        """
        columns = {name: self._columns[name].take(places[name]) for name in self.names}
        decided = self._evaluate({**self._constants, **columns})
        shape = np.broadcast_shapes((1,), *(places[name].shape for name in self.names))
        verdicts = np.broadcast_to(decided.values, shape).astype(np.int8)
        self._settle(verdicts, decided, places)
        return verdicts

    def _settle(self, verdicts: Verdicts, decided: ValueColumn, places: Mapping[str, Places]) -> None:
        """Asks Python for the verdicts that numpy leaves in doubt."""
        if not decided.doubtful.any():
            return
        doubtful = np.nonzero(np.broadcast_to(decided.doubtful, verdicts.shape))
        self._settled += len(doubtful[0])
        if self._settled > MAX_SETTLED:
            raise DoubtError(self.index)
        chosen = [np.broadcast_to(places[name], verdicts.shape)[doubtful].tolist() for name in self.names]
        rows = zip(*chosen, strict=True) if chosen else [()]
        verdicts[doubtful] = [self._verdict(row) for row in rows]

    def _verdict(self, row: Sequence[int]) -> int:
        values = {name: self._levels[name][place] for name, place in zip(self.names, row, strict=True)}
        try:
            return ALLOWED if self.constraint({**self._fixed, **values}) else REJECTED
        except InputError:
            self._raised = True
            return RAISED


def split(
    index: int, constraint: Constraint, fixed: Mapping[str, Value], domains: Domains
) -> list[Predicate]:
    """The predicates that stand for a constraint: the parts of a conjunction, where each can be asked by itself.

    A part that may raise is evaluated only where those before it hold and before those after it, so from there on
    the constraint stays whole.
    """
    parts = [Predicate(index, part, fixed, domains) for part in constraint.conjuncts()]
    for number, part in enumerate(parts[:-1]):
        if part.table is None or part.raised:
            return [*parts[:number], Predicate(index, constraint, fixed, domains)]
    return parts
