"""Configs as a table of small integers: one row a config, one column a parameter, whatever number there is of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Value

Codes = NDArray[np.unsignedinteger[Any]]


class ConfigTable(Sequence[Config]):
    """The legal configs of one problem, read as a sequence of complete configs in a fixed order.

    Args:
        levels: every parameter's values, each once, in the order of the table's columns.
        codes: [configs, parameters], unsigned integers; each an index into its parameter's values. No row twice.

    Attributes:
        levels: as given.
        codes: as given.
    """

    __slots__ = ("_by_key", "codes", "levels")

    def __init__(self, levels: Mapping[str, Sequence[Value]], codes: Codes) -> None:
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
            return ConfigTable(self.levels, self.codes[index])
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
        code = []
        for name, values in self.levels.items():
            places = [place for place, value in enumerate(values) if value == config[name]]
            if not places:
                return None
            code.append(places[0])
        return self._find(np.asarray([code]))

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
