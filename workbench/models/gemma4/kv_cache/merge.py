"""Merging of specs, field by field, so that no field can be left out.

A field says how it merges in its metadata, as `field(default=None, metadata=MERGED_BY_THE_ONE_SET)`; one that says
nothing must be equal in all specs. The fields are taken from the dataclass itself, so a new one is carried over or
complained about without a change here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Spec = TypeVar("Spec")
Rule = Callable[[Sequence[Any]], Any]
_KEY = "merge"


class SpecMismatchError(ValueError):
    """Specs that cannot be one; the message names each field in which they differ, with the values."""


class _DifferError(Exception):
    """A rule's answer where the values cannot become one."""


def _all_equal(values: Sequence[Any]) -> Any:
    if any(type(value) is not type(values[0]) or value != values[0] for value in values):
        raise _DifferError
    return values[0]


def _the_one_set(values: Sequence[Any]) -> Any:
    """The value of those that are set; None where none is."""
    given = [value for value in values if value is not None]
    return _all_equal(given) if given else None


MERGED_BY_EQUALITY: Mapping[str, Rule] = {_KEY: _all_equal}
MERGED_BY_THE_ONE_SET: Mapping[str, Rule] = {_KEY: _the_one_set}
MERGED_BY_ANY: Mapping[str, Rule] = {_KEY: any}


def merge_specs(specs: Sequence[Spec]) -> Spec:
    """One spec that holds for layers with any of these.

    Args:
        specs: one or more instances of the same dataclass.

    Returns:
        An instance of that class with every field merged.

    Raises:
        SpecMismatchError: there is no spec, they are of several classes, or a field differs; all such fields
            are named with their values.
    """
    if not specs:
        raise SpecMismatchError("specs: must be at least one, got none")
    kinds = list(dict.fromkeys(type(spec).__name__ for spec in specs))
    if any(type(spec) is not type(specs[0]) for spec in specs):
        raise SpecMismatchError(f"specs: must be of one class, got {' and '.join(kinds)}")
    values, differing = dict[str, Any](), list[str]()
    for field in dataclasses.fields(specs[0]):  # type: ignore[arg-type]
        found = [getattr(spec, field.name) for spec in specs]
        try:
            values[field.name] = field.metadata.get(_KEY, _all_equal)(found)
        except _DifferError:
            differing.append(f"{field.name}: {_in_words(found)}")
    if differing:
        raise SpecMismatchError(f"{kinds[0]} specs differ: {'; '.join(differing)}")
    return _build(type(specs[0]), values)


def _in_words(values: Sequence[Any]) -> str:
    return " and ".join(dict.fromkeys(map(repr, values)))


def _build(kind: type[Spec], values: Mapping[str, Any]) -> Spec:
    settable = {field.name for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    merged = kind(**{name: value for name, value in values.items() if name in settable})
    for name in values.keys() - settable:
        # No argument of the constructor, and the class is frozen.
        object.__setattr__(merged, name, values[name])
    return merged
