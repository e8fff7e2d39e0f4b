"""Computes what follows from a launch's integer arguments: how often loops run, and which threads a load is for.

Only integer instructions are followed; whatever comes from memory, or by an instruction that is not listed here, is
unknown.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from workbench.sweep.stages.ptx.flow import Flow, Loop
from workbench.sweep.stages.ptx.instructions import Instruction

# Loops that run longer are taken as unknown.
MOST_TRIPS = 10_000
THREAD = "%tid.x"
_PARAMETER = re.compile(r"_param_(\d+)\]?$")
_TYPE = re.compile(r"\.(pred|[sub](?:16|32|64))$")

_OPERATIONS: Mapping[str, Callable[..., int]] = {
    "mov": lambda a: a,
    "cvt": lambda a: a,
    "add": operator.add,
    "sub": operator.sub,
    "mul.lo": operator.mul,
    "mul.wide": operator.mul,
    "mad.lo": lambda a, b, c: a * b + c,
    "mad.wide": lambda a, b, c: a * b + c,
    "shl": lambda a, b: a << min(b, 64),
    "shr": lambda a, b: a >> min(b, 64),
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "not": operator.invert,
    "neg": operator.neg,
    "min": min,
    "max": max,
    "selp": lambda a, b, condition: a if condition else b,
}
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    name: getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")
}

# The halves of a 64-bit register.
_Pair = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a launch.

    Attributes:
        integers: values of integer arguments by the number of the PTX parameter.
        streamed: numbers of the parameters that point to what is read from device memory.
        threads: of a block.
        data_trips: how often a loop runs whose end the data decide; None where that is not known.
    """

    integers: Mapping[int, int] = field(default_factory=dict)
    streamed: frozenset[int] = frozenset()
    threads: int = 32
    data_trips: float | None = None


class Values:
    """The registers whose values are known, as instructions run.

    Args:
        integers: see `Given`.
        thread: the thread's number in its block, None for any.
    """

    def __init__(self, integers: Mapping[int, int], thread: int | None = None) -> None:
        self._integers, self._thread = integers, thread
        self._known: dict[str, int | _Pair] = {}

    def run(self, instruction: Instruction) -> None:
        """Computes what an instruction writes, if it follows from what is known."""
        runs = self.runs(instruction)
        if runs is False:
            return
        values = self._results(instruction) if runs else {}
        self.forget(instruction)
        for register, value in values.items():
            if value is not None:
                self._known[register] = value

    def forget(self, instruction: Instruction) -> None:
        """What an instruction writes is not known any more."""
        for register in instruction.writes:
            self._known.pop(register, None)

    def runs(self, instruction: Instruction) -> bool | None:
        """Whether an instruction's predicate lets it run, None where that is not known."""
        if instruction.predicate is None:
            return True
        predicate = self._known.get(instruction.predicate)
        return None if predicate is None else bool(predicate) != instruction.negated

    def _results(self, instruction: Instruction) -> dict[str, int | _Pair | None]:
        """What an instruction writes, by register."""
        if instruction.opcode != "mov.b64" or "{" not in "".join(instruction.operands):
            return dict.fromkeys(instruction.writes[:1], self._value(instruction))
        to, source = instruction.operands
        if source.startswith("{"):
            low, high = map(self._operand, _halves(source))
            return {to: (low, high)}
        pair = self._known.get(source)
        return dict(zip(_halves(to), pair, strict=True)) if isinstance(pair, tuple) else {}

    def _value(self, instruction: Instruction) -> int | None:
        if instruction.opcode.startswith("ld.param"):
            found = _PARAMETER.search(instruction.operands[1])
            return self._integers.get(int(found[1])) if found else None
        parts = instruction.opcode.split(".")
        kind = _TYPE.search(instruction.opcode)
        operands = [self._operand(text) for text in instruction.operands[1:]]
        if kind is None or not operands or None in operands:
            return None
        typed = [_wrapped(value, kind[1]) for value in operands if value is not None]
        if "wide" in parts:
            # What is added to a product of twice the width has that width itself.
            typed[2:] = [value for value in operands[2:] if value is not None]
        if parts[0] == "setp":
            compare = _COMPARISONS.get(parts[1])
            return int(compare(*typed)) if compare and len(parts) == 3 else None
        operation = _OPERATIONS.get(parts[0]) or _OPERATIONS.get(".".join(parts[:2]))
        if operation is None:
            return None
        wide = "u64" if "wide" in parts else parts[1] if parts[0] == "cvt" else kind[1]
        return _wrapped(operation(*typed), wide.replace("u", "s").replace("b", "s"))

    def _operand(self, text: str) -> int | None:
        if text == THREAD:
            return self._thread
        if text.startswith("%"):
            known = self._known.get(text)
            return None if isinstance(known, tuple) else known
        try:
            return int(text, 0)
        except ValueError:
            return None


def _halves(braces: str) -> list[str]:
    """The two registers that make one of twice the width."""
    return [register.strip() for register in braces.strip("{} ").split(",")]


def _wrapped(value: int, kind: str) -> int:
    """A value as a register of a type holds it; plain bits are taken as signed."""
    if kind == "pred":
        return value & 1
    bits = int(kind[1:])
    low = value & ((1 << bits) - 1)
    return low - (1 << bits) if kind[0] != "u" and low >> (bits - 1) else low


def trips(flow: Flow, loop: Loop, integers: Mapping[int, int]) -> int | None:
    """How often a loop's body runs each time that control comes to it; None where the launch's integers don't tell."""
    exits = {number for number in loop.blocks if set(flow.blocks[number].following) - loop.blocks}
    if len(exits) != 1:
        return None
    (end,) = exits
    block = flow.blocks[end]
    branch = block.instructions[-1]
    if branch.predicate is None:
        return None
    leaves_by_branch = block.following[0] not in loop.blocks
    wanted = _needed(flow, {branch.predicate})
    values = Values(integers)
    for number in flow.order[: flow.order.index(loop.head)]:
        is_over = any(loop.head not in other.blocks for other in flow.around(number))
        _step(flow, number, values, wanted, is_over=is_over)
    inner = [other for other in flow.loops if other.head in loop.blocks and other.head != loop.head]
    body = [number for number in flow.order if number in loop.blocks]
    for count in range(1, MOST_TRIPS):
        for number in body:
            is_over = any(number in other.blocks for other in inner)
            _step(flow, number, values, wanted, is_over=is_over)
            if number == end:
                taken = values.runs(branch)
                if taken is None:
                    return None
                if taken == leaves_by_branch:
                    # A loop that is left at its head has not run its body once more.
                    is_tested_first = end == loop.head and loop.head not in block.following
                    return count - is_tested_first
    return None


def _step(flow: Flow, number: int, values: Values, wanted: set[str], *, is_over: bool) -> None:
    """Runs what is wanted of a block, or forgets it where the block is in a loop of its own."""
    act = values.forget if is_over else values.run
    for instruction in flow.blocks[number].instructions:
        if wanted.intersection(instruction.writes):
            act(instruction)


def _needed(flow: Flow, registers: set[str]) -> set[str]:
    """The registers that some depend on, themselves among them."""
    sources: dict[str, set[str]] = {}
    for block in flow.blocks.values():
        for instruction in block.instructions:
            for register in instruction.writes:
                sources.setdefault(register, set()).update(instruction.reads)
    needed, waiting = set[str](), list(registers)
    while waiting:
        register = waiting.pop()
        if register not in needed:
            needed.add(register)
            waiting.extend(sources.get(register, ()))
    return needed


def active_share(flow: Flow, load: Instruction, given: Given) -> float:
    """The share of a block's threads that a load's predicate may let load.

    Where a tile has fewer elements than a block has threads, the threads that are left over are guarded off.
    """
    if load.predicate is None:
        return 1.0
    wanted = _needed(flow, {load.predicate})
    steps = [
        each
        for number in flow.order
        for each in flow.blocks[number].instructions
        if wanted.intersection(each.writes)
    ]
    if any(each.kind in ("global", "shared") for each in steps):
        return 1.0
    active = 0
    for thread in range(given.threads):
        values = Values(given.integers, thread)
        for each in steps:
            values.run(each)
        active += values.runs(load) is not False
    return active / given.threads
