"""Reads PTX: its instructions, one by one, and the labels between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(
    r"^(?P<label>\$L__BB\w+):|^\s+(?:@(?P<sense>!?)(?P<predicate>%p\d+)\s+)?(?P<opcode>[a-z][a-z0-9_.:]*)"
    r"\s*(?P<operands>[^;]*);",
    re.MULTILINE,
)
_REGISTER = re.compile(r"%[a-z]+\d+")
# Commas within braces and brackets separate no operands.
_OPERAND = re.compile(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,{}\[\]])+")

# First match wins.
_KINDS = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("move", r"mov|ret|bra|ld\.param"),
        ("reduce", r"redux"),
        ("shuffle", r"shfl|vote|match"),
        ("barrier", r"bar\.|barrier|mbarrier|fence"),
        ("matrix", r"mma|wgmma|tcgen05"),
        ("shared", r"(?:ld|st|atom|red)(?:\.\w+)*\.shared|ldmatrix|stmatrix"),
        ("copy", r"cp\.async"),
        ("global", r"(?:ld|st|atom|red)(?:\.\w+)*\.global|prefetch"),
        ("special", r"ex2|lg2|rcp|rsqrt|sqrt|sin|cos|tanh|div\.|rem\."),
        ("wide", r".*\.[sub]64"),
    )
)
KINDS = (*(name for name, _ in _KINDS), "scalar")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of one thread.

    Attributes:
        kind: its class, one of `KINDS`.
        predicate: the register that guards it, None where nothing does.
        negated: whether it runs where the predicate is false.
        operands: as they are written, the destination first.
    """

    kind: str
    opcode: str
    predicate: str | None
    negated: bool
    operands: tuple[str, ...]
    writes: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def target(self) -> str | None:
        """The label that a branch goes to."""
        return self.operands[0] if self.opcode.startswith("bra") else None

    @property
    def ends_block(self) -> bool:
        """Whether what runs next may stand elsewhere."""
        return self.opcode.startswith(("bra", "brx", "ret", "exit"))


def read_ptx(ptx: str) -> Iterator[str | Instruction]:
    """The labels that branches go to and the instructions, in the order of the text."""
    for line in _LINE.finditer(ptx):
        label, sense, predicate, opcode, text = line.groups()
        if label:
            yield label
            continue
        destination, sources = _split(opcode, text)
        yield Instruction(
            kind=next((name for name, pattern in _KINDS if pattern.match(opcode)), "scalar"),
            opcode=opcode,
            predicate=predicate,
            negated=bool(sense),
            operands=tuple(operand.strip() for operand in _OPERAND.findall(text) if operand.strip()),
            writes=tuple(_REGISTER.findall(destination)),
            reads=(*_REGISTER.findall(sources), *([predicate] if predicate else [])),
        )


def _split(opcode: str, operands: str) -> tuple[str, str]:
    """The first operand, a vector in braces included, is what an instruction writes, unless it stores."""
    if opcode.startswith(("st.", "bar", "red.", "bra", "cp.", "stmatrix")):
        return "", operands
    end = operands.find("}") + 1 if operands.startswith("{") else operands.find(",")
    return (operands[:end], operands[end:]) if end > 0 else (operands, "")
