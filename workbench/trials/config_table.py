"""Configs as a table of small integers: one row a config, one column a parameter, whatever number there is of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Value

Codes = NDArray[np.unsignedinteger[Any]]

# Keys decoded at once; they stay in a core's cache.
_DECODED = 1 << 15


class ConfigTable(Sequence[Config]):
    """The legal configs of one problem, read as a sequence of complete configs in a fixed order.

    Args:
        levels: every parameter's values, each once, in the order of the table's columns.
        codes: [configs, parameters], unsigned integers; each an index into its parameter's values. No row twice.
        order: the parameters by whose codes the rows are sorted, those that come first weighing most; parameters
            with only one value may be left out. None where the rows are in another order.
    """

    __slots__ = ("_by_key", "_order", "codes", "levels")

    def __init__(
        self, levels: Mapping[str, Sequence[Value]], codes: Codes, order: Sequence[str] | None = None
    ) -> None:
        self._order = order
        self.levels = {name: tuple(values) for name, values in levels.items()}
        self.codes = codes
        self._by_key: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @classmethod
    def of(cls, names: Sequence[str], configs: Iterable[Config]) -> ConfigTable:
        """The table of some configs, all with these names; levels are in the order in which they first occur."""
        levels: dict[str, dict[Value, int]] = {name: {} for name in names}
        rows = [
            [seen.setdefault(config[name], len(seen)) for name, seen in levels.items()] for config in configs
        ]
        codes = np.asarray(rows, dtype=np.uint32).reshape(len(rows), len(names))
        return cls({name: tuple(seen) for name, seen in levels.items()}, codes)

    @classmethod
    def of_keys(
        cls, levels: Mapping[str, Sequence[Value]], keys: NDArray[Any], order: Sequence[str]
    ) -> ConfigTable:
        """The table of some places in a product.

        Args:
            levels: every parameter's values; only those in `order` have more than one.
            keys: the places, ascending.
            order: the parameters of the product, the last varying fastest.
        """
        largest = max(map(len, levels.values()), default=1) - 1
        # By columns, so that a parameter's codes lie side by side.
        codes = np.zeros((len(keys), len(levels)), np.min_scalar_type(max(largest, 0)), order="F")
        columns = {name: column for column, name in enumerate(levels)}
        for start in range(0, len(keys), _DECODED):
            left = keys[start : start + _DECODED]
            for name in reversed(order):
                rest = left // left.dtype.type(len(levels[name]))
                codes[start : start + _DECODED, columns[name]] = left - rest * len(levels[name])
                left = rest
        return cls(levels, codes, order)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order of the columns."""
        return tuple(self.levels)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> Config: ...
    @overload
    def __getitem__(self, index: slice) -> ConfigTable: ...
    def __getitem__(self, index: int | slice) -> Config | ConfigTable:
        if isinstance(index, slice):
            is_ascending = (index.step or 1) > 0
            return ConfigTable(self.levels, self.codes[index], self._order if is_ascending else None)
        row = self.codes[index].tolist()
        return {name: values[code] for (name, values), code in zip(self.levels.items(), row, strict=True)}

    def __iter__(self) -> Iterator[Config]:
        return map(self.__getitem__, range(len(self)))

    def __contains__(self, config: object) -> bool:
        return isinstance(config, Mapping) and self.find(config) is not None

    def column(self, name: str) -> NDArray[Any]:
        """A parameter's value in every config; numbers where all its values are numbers, else objects."""
        values = self.levels[name]
        is_number = all(isinstance(value, int | float) for value in values)
        levels = np.asarray(values) if is_number else np.asarray(values, dtype=object)
        column: NDArray[Any] = levels[self.codes[:, self.names.index(name)]]
        return column

    def find(self, config: Config) -> int | None:
        """The row of a config, None where the table does not have it."""
        if set(config) != set(self.levels):
            return None
        code = {}
        for name, values in self.levels.items():
            places = [place for place, value in enumerate(values) if value == config[name]]
            if not places:
                return None
            code[name] = places[0]
        if self._order is not None:
            return self._find_sorted(code, self._order)
        return self._find(np.asarray([list(code.values())]))

    def _find_sorted(self, code: Mapping[str, int], order: Sequence[str]) -> int | None:
        """Halves the rows that agree so far, one parameter after the other."""
        start, stop = 0, len(self)
        for name in order:
            column = self.codes[start:stop, self.names.index(name)]
            wanted = column.dtype.type(code[name])
            start, stop = (start + int(np.searchsorted(column, wanted, side)) for side in ("left", "right"))
        return start if start < stop else None

    def _find(self, code: NDArray[np.int64]) -> int | None:
        if self._by_key is None:
            keys = self._keys(self.codes)
            order = np.argsort(keys, kind="stable")
            self._by_key = keys[order], order
        sorted_keys, order = self._by_key
        place = int(np.searchsorted(sorted_keys, key := self._keys(code)[0]))
        return int(order[place]) if place < len(sorted_keys) and sorted_keys[place] == key else None

    def _keys(self, codes: NDArray[Any]) -> NDArray[np.int64]:
        """Each row as one number; the product of all level counts is under 2**63, which `build_space` ensures."""
        keys = np.zeros(len(codes), dtype=np.int64)
        for column, values in enumerate(self.levels.values()):
            keys = keys * len(values) + codes[:, column]
        return keys
