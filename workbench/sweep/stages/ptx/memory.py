"""What a block's loads read from device memory, and how much of it they keep in flight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.sweep.stages.ptx.flow import Flow
from workbench.sweep.stages.ptx.instructions import Instruction
from workbench.sweep.stages.ptx.values import Given, active_share

_PARAMETER = re.compile(r"_param_(\d+)\]?$")
_REGISTER = re.compile(r"%[a-z]+\d+")
_WIDTH = re.compile(r"(?:\.v(\d))?\.[bsuf](\d+)$")


@dataclass(frozen=True, slots=True)
class StreamedLoad:
    """One load of streamed memory.

    Attributes:
        block: the number of the block of code that it is in.
        bytes: that the threads of a thread block load by it together.
    """

    block: int
    instruction: Instruction
    bytes: float

    @property
    def is_copy(self) -> bool:
        """Whether it is an asynchronous copy to shared memory."""
        return self.instruction.kind == "copy"


def streamed_loads(flow: Flow, given: Given) -> tuple[StreamedLoad, ...]:
    """The loads whose address comes from a parameter that is streamed, in an order in which they can run."""
    found: list[StreamedLoad] = []
    shares: dict[str | None, float] = {}
    origins: dict[str, frozenset[int]] = {}
    for number in flow.order:
        for each in flow.blocks[number].instructions:
            if _loads(each) and _origin(each, origins) & given.streamed:
                if each.predicate not in shares:
                    shares[each.predicate] = active_share(flow, each, given)
                size = _bytes(each) * given.threads * shares[each.predicate]
                found.append(StreamedLoad(number, each, size))
            origins.update(dict.fromkeys(each.writes, _written_origin(each, origins)))
    return tuple(found)


def in_flight_bytes(flow: Flow, loads: Mapping[int, StreamedLoad]) -> float:
    """The most bytes that a thread block's loads have under way together.

    A copy to shared memory is under way until its group was waited for, a load until an instruction needs its
    result; what was asked for before has arrived then, too.

    Args:
        flow: of the kernel.
        loads: by the identity of their instruction.
    """
    most = 0.0
    pending: list[_Pending] = []
    group = 0
    for each in (each for number in flow.order for each in flow.blocks[number].instructions):
        if each.opcode.startswith("cp.async.commit_group"):
            group += 1
        elif each.opcode.startswith("cp.async.wait"):
            allowed = int(each.operands[0]) if each.operands else 0
            pending = [one for one in pending if one.group is None or one.group >= group - allowed]
        elif each.opcode.startswith("mov"):
            for one in pending:
                one.registers.update(each.writes if one.registers.intersection(each.reads) else ())
        elif needed := [at for at, one in enumerate(pending) if one.registers.intersection(each.reads)]:
            copies = (one for one in pending[: needed[-1]] if one.group is not None)
            pending = [*copies, *pending[needed[-1] + 1 :]]
        if load := loads.get(id(each)):
            pending.append(_Pending(load.bytes, set(each.writes), group if load.is_copy else None))
            most = max(most, sum(one.bytes for one in pending))
    return most


@dataclass(slots=True)
class _Pending:
    bytes: float
    registers: set[str]
    group: int | None


def _loads(instruction: Instruction) -> bool:
    return instruction.opcode.startswith(("ld.global", "cp.async.ca", "cp.async.cg"))


def _bytes(instruction: Instruction) -> int:
    """Bytes a thread."""
    if instruction.kind == "copy":
        return int(instruction.operands[2], 0)
    found = _WIDTH.search(instruction.opcode)
    return int(found[1] or 1) * int(found[2]) // 8 if found else 0


def _origin(load: Instruction, origins: Mapping[str, frozenset[int]]) -> frozenset[int]:
    """The parameters that a load's address comes from."""
    address = _address(load)
    return frozenset().union(*(origins.get(register, frozenset()) for register in address))


def _address(load: Instruction) -> list[str]:
    """The registers of a load's global address: in the last pair of brackets."""
    brackets = [operand for operand in load.operands if operand.startswith("[")]
    return _REGISTER.findall(brackets[-1])


def _written_origin(instruction: Instruction, origins: Mapping[str, frozenset[int]]) -> frozenset[int]:
    """The parameters that a result comes from by arithmetic; what was loaded comes from none."""
    if instruction.opcode.startswith("ld.param"):
        found = _PARAMETER.search(instruction.operands[1])
        return frozenset({int(found[1])}) if found else frozenset()
    if instruction.kind in ("global", "shared"):
        return frozenset()
    return frozenset().union(*(origins.get(register, frozenset()) for register in instruction.reads))
