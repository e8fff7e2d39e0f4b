"""In which order parameters are joined: each group that constraints connect by itself, and what cuts most first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from workbench.sweep.space.predicates import Predicate

SORTING = 8
"""What sorting costs a config, in evaluated combinations."""


def connected(names: Sequence[str], predicates: Iterable[Predicate]) -> list[tuple[str, ...]]:
    """The parameters in groups; no predicate reads two of different groups. Each keeps the order of `names`."""
    groups = [{name} for name in names]
    for predicate in predicates:
        touched = [group for group in groups if group & set(predicate.names)]
        groups = [group for group in groups if group not in touched] + [set().union(*touched)]
    ordered = [tuple(name for name in names if name in group) for group in groups]
    return sorted(filter(None, ordered), key=lambda group: names.index(group[0]))


def join_order(
    names: Sequence[str], sizes: Mapping[str, int], predicates: Sequence[Predicate]
) -> tuple[str, ...]:
    """The order of the fewest evaluated combinations, of those tried: as listed, and greedily from each parameter."""
    greedy = [_greedy(start, names, sizes, predicates) for start in names]
    as_listed = tuple(names)
    return min(
        [as_listed, *greedy], key=lambda order: _cost(order, sizes, predicates, is_sorted=order == as_listed)
    )


def _greedy(
    start: str, names: Sequence[str], sizes: Mapping[str, int], predicates: Sequence[Predicate]
) -> tuple[str, ...]:
    order = [start]
    while len(order) < len(names):
        left = [name for name in names if name not in order]
        order.append(min(left, key=lambda name: _growth(name, order, sizes, predicates)))
    return tuple(order)


def _growth(
    name: str, order: Sequence[str], sizes: Mapping[str, int], predicates: Sequence[Predicate]
) -> float:
    """How many times more rows there will be; a predicate that is not yet complete counts for its share of names."""
    growth = float(sizes[name])
    for predicate in predicates:
        if name in predicate.names:
            known = sum(each in order for each in predicate.names) + 1
            share = 1.0 if known == len(predicate.names) else (known - 1) / len(predicate.names)
            growth *= predicate.density**share
    return growth


def _cost(
    order: Sequence[str], sizes: Mapping[str, int], predicates: Sequence[Predicate], *, is_sorted: bool
) -> float:
    """Combinations evaluated on the way, as if predicates were independent."""
    total, rows = 0.0, 1.0
    for place, name in enumerate(order):
        evaluated = rows * sizes[name]
        rows = evaluated * math.prod(each.density for each in completed(predicates, order[: place + 1]))
        total += evaluated
    return total + (0 if is_sorted else SORTING * rows)


def completed(predicates: Iterable[Predicate], order: Sequence[str]) -> list[Predicate]:
    """The predicates that can be evaluated once the last of some parameters is joined, and no sooner."""
    return [each for each in predicates if order[-1] in each.names and set(each.names) <= set(order)]
