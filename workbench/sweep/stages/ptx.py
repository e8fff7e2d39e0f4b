"""Reads a kernel's PTX: how many instructions of which class, and how long its longest chain of dependences is.

PTX is nearly in single-assignment form, so one pass in program order finds the critical path. A loop's body is seen
once: counts and path are those of straight-line code, which is what routing kernels are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_INSTRUCTION = re.compile(r"^\s+(?:@!?(%p\d+)\s+)?([a-z][a-z0-9_.:]*)\s*([^;]*);", re.MULTILINE)
_REGISTER = re.compile(r"%[a-z]+\d+")

# First match wins.
_CLASSES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("move", r"mov|ret|bra|ld\.param"),
        ("reduce", r"redux"),
        ("shuffle", r"shfl|vote|match"),
        ("barrier", r"bar\.|barrier|mbarrier|fence"),
        ("matrix", r"mma|wgmma|tcgen05"),
        ("shared", r"(?:ld|st|atom|red)(?:\.\w+)*\.shared|ldmatrix|stmatrix"),
        ("global", r"(?:ld|st|atom|red)(?:\.\w+)*\.global|cp\.async|prefetch"),
        ("special", r"ex2|lg2|rcp|rsqrt|sqrt|sin|cos|tanh|div\.|rem\."),
        ("wide", r".*\.[sub]64"),
    )
)

# Cycles from issue until a dependent instruction can issue, rounded from published microbenchmarks (Volta:
# arXiv 1804.06826; Hopper: arXiv 2402.13499); global loads are taken to hit L2. They serve to rank, not to time.
LATENCY_CYCLES = {
    "move": 0,
    "scalar": 5,
    "wide": 10,
    "special": 20,
    "shuffle": 24,
    "reduce": 24,
    "shared": 30,
    "barrier": 20,
    "matrix": 33,
    "global": 270,
}


@dataclass(frozen=True, slots=True)
class PtxProfile:
    """What a kernel's PTX says of one thread.

    Attributes:
        instructions: static counts by class.
        critical_cycles: latency of the longest dependence chain, cycles.
    """

    instructions: dict[str, int]
    critical_cycles: int


@dataclass(frozen=True, slots=True)
class _Instruction:
    kind: str
    opcode: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]


def profile(ptx: str) -> PtxProfile:
    """Counts the instructions of a kernel and follows its dependences."""
    instructions = tuple(_instructions(ptx))
    return PtxProfile(dict(Counter(each.kind for each in instructions)), _critical_cycles(instructions))


def _instructions(ptx: str) -> Iterator[_Instruction]:
    for predicate, opcode, operands in _INSTRUCTION.findall(ptx):
        destination, sources = _split(opcode, operands)
        reads = (*_REGISTER.findall(sources), *([predicate] if predicate else []))
        yield _Instruction(_class_of(opcode), opcode, tuple(_REGISTER.findall(destination)), reads)


def _split(opcode: str, operands: str) -> tuple[str, str]:
    """The first operand, a vector in braces included, is what an instruction writes, unless it stores."""
    if opcode.startswith(("st.", "bar", "red.", "bra", "cp.", "stmatrix")):
        return "", operands
    end = operands.find("}") + 1 if operands.startswith("{") else operands.find(",")
    return (operands[:end], operands[end:]) if end > 0 else (operands, "")


def _class_of(opcode: str) -> str:
    return next((name for name, pattern in _CLASSES if pattern.match(opcode)), "scalar")


def _critical_cycles(instructions: tuple[_Instruction, ...]) -> int:
    ready: dict[str, int] = {}
    shared_ready = finished = 0
    for each in instructions:
        start = max((ready.get(register, 0) for register in each.reads), default=0)
        if each.kind in ("shared", "barrier"):
            start = max(start, shared_ready)
        done = start + LATENCY_CYCLES[each.kind]
        if each.kind == "barrier" or (each.kind == "shared" and not each.writes):
            shared_ready = max(shared_ready, done)
        ready.update(dict.fromkeys(each.writes, done))
        finished = max(finished, done)
    return finished
