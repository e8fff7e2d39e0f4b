"""Every config, in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.search.strategy import SearchTask, Strategy


class Exhaustive(Strategy):
    """Proposes every config once, in the order of the problem's table.

    Args:
        task: what is searched; its seed is not used.
    """

    def __init__(self, task: SearchTask) -> None:
        super().__init__(task)
        self._orders: dict[int, Sequence[int]] = {}
        self._next = [0] * len(task.tables)
        self._told: list[set[int]] = [set() for _ in task.tables]

    def order(self, problem: int) -> Sequence[int]:
        """All rows of a problem's table in the order in which they are proposed."""
        return range(len(self.task.tables[problem]))

    def ask(self, problem: int, count: int) -> Sequence[int]:
        """The next `count` configs."""
        rows, self._next[problem] = self._upcoming(problem, count)
        return rows

    def tell(self, problem: int, config: int, time_us: float | None) -> None:
        """Takes note that the config is done; the order does not depend on results."""
        self._told[problem].add(config)

    def foresee(self, problem: int, count: int) -> Sequence[int]:
        """What will be proposed."""
        return self._upcoming(problem, count)[0]

    def _upcoming(self, problem: int, count: int) -> tuple[list[int], int]:
        """The next rows that were not told of, and the place in the order after them."""
        if problem not in self._orders:
            self._orders[problem] = self.order(problem)
        order, place = self._orders[problem], self._next[problem]
        rows: list[int] = []
        while place < len(order) and len(rows) < count:
            if order[place] not in self._told[problem]:
                rows.append(int(order[place]))
            place += 1
        return rows, place
