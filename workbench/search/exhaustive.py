"""Every config, in the order of the sweep file."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.search.strategy import SearchTask, Strategy


class Exhaustive(Strategy):
    """Proposes every config once, in the order of its table."""

    def __init__(self, task: SearchTask) -> None:
        super().__init__(task)
        self._orders = [self._order(len(table)) for table in task.tables]
        self._next = [0] * len(task.tables)
        self._told: list[set[int]] = [set() for _ in task.tables]

    def ask(self, problem: int, count: int) -> Sequence[int]:
        """The next `count` configs."""
        rows, place = self._from(problem, count)
        self._next[problem] = place
        return rows

    def tell(self, problem: int, config: int, time_us: float | None) -> None:
        """Takes a config that it was told of for proposed; the order does not depend on times."""
        self._told[problem].add(config)

    def foresee(self, problem: int, count: int) -> Sequence[int]:
        """Just what it will propose."""
        return self._from(problem, count)[0]

    def _from(self, problem: int, count: int) -> tuple[list[int], int]:
        order, place, rows = self._orders[problem], self._next[problem], list[int]()
        while place < len(order) and len(rows) < count:
            row = int(order[place])
            place += 1
            if row not in self._told[problem]:
                rows.append(row)
        return rows, place

    def _order(self, size: int) -> Sequence[int]:
        return range(size)
