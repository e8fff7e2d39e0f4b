"""Values that stand in a page many times, written once: a table of thousands of rows repeats configs and headings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

REFERENCE = "$"
# A reference takes some ten characters; what is shorter is written out.
_SHORTEST = 12


def share(value: Any) -> dict[str, Any]:
    """Plain JSON with its repeated parts pulled out.

    Args:
        value: dicts, lists, strings, numbers, booleans and None; no dict of it has `$` as a key.

    Returns:
        `{"shared": [...], "value": ...}`; `{"$": n}` stands for the n-th shared part, which refers to earlier ones.
    """
    sharer = _Sharer()
    root = sharer.number(value)
    return {"value": sharer.written(root), "shared": sharer.shared}


class _Sharer:
    """Numbers values, equal ones alike, and writes each that is worth it once."""

    def __init__(self) -> None:
        self.shared: list[Any] = []
        self._numbers: dict[Hashable, int] = {}
        self._values: list[Any] = []
        self._sizes: list[int] = []
        self._uses: Counter[int] = Counter()
        self._places: dict[int, int] = {}

    def number(self, value: Any) -> int:
        """The number of a value, its parts numbered before it."""
        if isinstance(value, dict):
            parts = {name: self.number(each) for name, each in value.items()}
            return self._known(("dict", *parts.items()), parts)
        if isinstance(value, list):
            numbers = [self.number(each) for each in value]
            return self._known(("list", *numbers), numbers)
        # Equal numbers of other spelling, 1 and True, 0.0 and -0.0, are not the same JSON.
        return self._known(repr(value), value)

    def _known(self, key: Hashable, value: Any) -> int:
        number = self._numbers.setdefault(key, len(self._values))
        if number == len(self._values):
            self._values.append(value)
            self._sizes.append(self._size(value))
        else:
            # Its parts were counted once more on the way here, but will be written only within it.
            for part in self._parts(value):
                self._uses[part] -= 1
        self._uses[number] += 1
        return number

    def _parts(self, value: Any) -> list[int]:
        if isinstance(value, dict):
            return list(value.values())
        return value if isinstance(value, list) else []

    def _size(self, value: Any) -> int:
        if isinstance(value, dict):
            return sum(len(name) + 4 + self._sizes[part] for name, part in value.items())
        return sum(self._sizes[part] + 1 for part in value) if isinstance(value, list) else len(str(value))

    def written(self, number: int) -> Any:
        """A value as it is written where it is used: whole, or as a reference."""
        if self._uses[number] < 2 or self._sizes[number] < _SHORTEST:
            return self._whole(number)
        if number not in self._places:
            whole = self._whole(number)
            self._places[number] = len(self.shared)
            self.shared.append(whole)
        return {REFERENCE: self._places[number]}

    def _whole(self, number: int) -> Any:
        value = self._values[number]
        if isinstance(value, dict):
            return {name: self.written(part) for name, part in value.items()}
        return [self.written(part) for part in value] if isinstance(value, list) else value
