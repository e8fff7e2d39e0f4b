"""What a fit learns from: which config won on which workload, among which others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.ranking.board import Board
from workbench.ranking.grid import GRID, grid_tiles
from workbench.ranking.legality import fits
from workbench.ranking.shapes import assumed_workload
from workbench.ranking.tables import TableWinners
from workbench.ranking.workload import Workload

# Few tables are about boards with GDDR memory, so theirs count more, and there tables of 8-bit weights help too.
GDDR_WEIGHT = 3.0
EIGHT_BIT_WEIGHT = 0.5
# Tables of fewer or more experts than today's models have are mostly older, and tell less of them.
USUAL_EXPERTS = range(64, 258)
UNUSUAL_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Choice:
    """One workload on one GPU with the config that won.

    Attributes:
        candidates: rows of the grid that the winner was chosen among.
        shares: how sure each candidate is the best, summing to 1; None where the first candidate simply is.
        weight: how much it counts in a fit.
        origin: names what it comes from; choices of one origin are split together.
    """

    workload: Workload
    board: Board
    candidates: NDArray[np.int64]
    shares: NDArray[np.float64] | None
    weight: float
    origin: str

    @property
    def winner(self) -> int:
        """The row of the grid that is most likely the best."""
        return int(self.candidates[0 if self.shares is None else int(self.shares.argmax())])


def choices_of(tables: Iterable[TableWinners]) -> tuple[Choice, ...]:
    """The rows of tables, each among all configs that can launch; winners that cannot are left out."""
    return tuple(choice for table in tables for choice in _rows(table))


def _rows(table: TableWinners) -> Iterable[Choice]:
    legal: NDArray[np.int64] | None = None
    for tokens, winner in sorted(table.rows.items()):
        workload = assumed_workload(table.num_experts, table.intermediate_size, table.dtype, tokens)
        if legal is None:
            legal = launchable(workload, table.board)
        if winner in legal:
            others = legal[legal != winner]
            candidates = np.concatenate([[winner], others])
            yield Choice(workload, table.board, candidates, None, _weight(table), table.source)


def launchable(workload: Workload, board: Board) -> NDArray[np.int64]:
    """The rows of the grid whose shared memory fits the GPU."""
    limit = board.shared_bytes_per_block
    return np.flatnonzero(fits(grid_tiles(), board.compute_capability, workload.element_bytes, limit))


def _weight(table: TableWinners) -> float:
    eight_bit = table.dtype in ("fp8_w8a8", "int8_w8a8")
    if table.board.segment_gddr:
        return GDDR_WEIGHT * (EIGHT_BIT_WEIGHT if eight_bit else 1.0)
    if eight_bit or table.block_scaled:
        return 0.0
    return 1.0 if table.num_experts in USUAL_EXPERTS else UNUSUAL_WEIGHT


def target(choices: Sequence[Choice]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """[choices, grid] which configs were candidates, and [choices, grid] how sure each is the best."""
    among = np.zeros((len(choices), len(GRID)), dtype=np.bool_)
    shares = np.zeros((len(choices), len(GRID)), dtype=np.float32)
    for row, choice in enumerate(choices):
        among[row, choice.candidates] = True
        if choice.shares is None:
            shares[row, choice.candidates[0]] = 1
        else:
            shares[row, choice.candidates] = choice.shares
    return among, shares


def linked(tables: Sequence[TableWinners], family: Callable[[Board], str]) -> NDArray[Any]:
    """[tables] a number for each table; tables that could tell of each other share one.

    Such are tables of one family of GPUs, E and N, whatever their dtype or engine, and tables of one content.
    """
    parents = list(range(len(tables)))
    first: dict[object, int] = {}
    for place, table in enumerate(tables):
        shape = family(table.board), table.num_experts, table.intermediate_size
        for key in (shape, tuple(sorted(table.rows.items()))):
            parents[_root(parents, place)] = _root(parents, first.setdefault(key, place))
    return np.asarray([_root(parents, place) for place in range(len(tables))])


def _root(parents: Sequence[int], place: int) -> int:
    while parents[place] != place:
        place = parents[place]
    return place
