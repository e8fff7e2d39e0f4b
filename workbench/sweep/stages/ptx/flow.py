"""How control flows through a kernel: its blocks in an order in which they can run, and its loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.sweep.stages.ptx.instructions import Instruction, read_ptx


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions that run one after the other.

    Attributes:
        following: numbers of the blocks that may run next; after a branch that may be taken or not, its target first.
    """

    instructions: tuple[Instruction, ...]
    following: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """One natural loop.

    Attributes:
        head: the number of the block by which it is entered.
        blocks: numbers of all of its blocks, those of inner loops among them.
    """

    head: int
    blocks: frozenset[int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A kernel's blocks and loops.

    Attributes:
        blocks: by number.
        order: numbers of the blocks that can be reached, each after all from which control comes forward.
        loops: outer ones before inner ones.
    """

    blocks: Mapping[int, Block]
    order: tuple[int, ...]
    loops: tuple[Loop, ...]

    @classmethod
    def of(cls, ptx: str) -> Flow:
        """The flow of the kernel that a PTX module holds."""
        blocks = _blocks(ptx)
        _, back_edges = _visit(blocks, {})
        loops = _loops(blocks, back_edges)
        depths = {number: sum(number in loop.blocks for loop in loops) for number in blocks}
        order, _ = _visit(blocks, depths)
        return cls(blocks, order, loops)

    def around(self, number: int) -> tuple[Loop, ...]:
        """The loops that a block is in."""
        return tuple(loop for loop in self.loops if number in loop.blocks)


def _blocks(ptx: str) -> dict[int, Block]:
    parts: list[list[Instruction]] = [[]]
    labels: dict[str, int] = {}
    for each in read_ptx(ptx):
        if isinstance(each, str):
            parts.append([])
            labels[each] = len(parts) - 1
            continue
        parts[-1].append(each)
        if each.ends_block:
            parts.append([])
    return {
        number: Block(tuple(part), _following(part, number, labels, len(parts)))
        for number, part in enumerate(parts)
    }


def _following(
    part: Sequence[Instruction], number: int, labels: Mapping[str, int], count: int
) -> tuple[int, ...]:
    last = part[-1] if part and part[-1].ends_block else None
    target = labels.get(last.target) if last and last.target else None
    falls_through = (last is None or last.predicate is not None) and number + 1 < count
    return (*([] if target is None else [target]), *([number + 1] if falls_through else []))


def _visit(
    blocks: Mapping[int, Block], depths: Mapping[int, int]
) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Blocks from the first on in reverse postorder, and the edges that lead back.

    Blocks that lie deeper in loops come before those that leave them.
    """
    finished: list[int] = []
    back_edges: list[tuple[int, int]] = []
    seen, open_blocks = {0}, {0}

    def pending(number: int) -> list[int]:
        # Popped from the end: what is visited first comes last in the order.
        return sorted(blocks[number].following, key=lambda each: -depths.get(each, 0))

    stack = [(0, pending(0))]
    while stack:
        number, rest = stack[-1]
        if not rest:
            stack.pop()
            open_blocks.discard(number)
            finished.append(number)
            continue
        following = rest.pop()
        if following in open_blocks:
            back_edges.append((number, following))
        elif following not in seen:
            seen.add(following)
            open_blocks.add(following)
            stack.append((following, pending(following)))
    return tuple(reversed(finished)), back_edges


def _loops(blocks: Mapping[int, Block], back_edges: Sequence[tuple[int, int]]) -> tuple[Loop, ...]:
    before: dict[int, list[int]] = {}
    for number, block in blocks.items():
        for following in block.following:
            before.setdefault(following, []).append(number)
    members: dict[int, set[int]] = {}
    for tail, head in back_edges:
        found = members.setdefault(head, {head})
        waiting = [tail]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting.extend(before.get(number, ()))
    loops = (Loop(head, frozenset(found)) for head, found in members.items())
    return tuple(sorted(loops, key=lambda loop: -len(loop.blocks)))
