"""What an expression may hold, and its value for one config: the tree is built, node by node, out of these operations.

Python never compiles or evaluates the expression, so it can compare and calculate and nothing else.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.base.text import brief

Operand = Any
Variables = Mapping[str, Operand]
Evaluate = Callable[[Variables], Operand]
Build = Callable[[ast.expr], Evaluate]

MAX_DEPTH = 40
MAX_BITS = 256

ALLOWED = "allowed: names, numbers, strings, + - * / // %, comparisons, in, and, or, not, x if c else y"


class ConstraintError(Exception):
    """What is wrong with an expression, without saying which."""


def build(text: str, node: ast.expr, depth: int = MAX_DEPTH) -> Evaluate:
    """What evaluates an expression for one value of every name.

    Args:
        text: the whole constraint, for its errors.
        node: the expression.
        depth: how many levels it may be nested.

    Raises:
        ConstraintError: it holds what no constraint may hold.
    """
    if depth == 0:
        raise ConstraintError(f"is nested deeper than {MAX_DEPTH} levels")
    if builder := _BUILDERS.get(type(node)):
        return builder(node, lambda inner: build(text, inner, depth - 1))
    what = _REFUSED.get(type(node), type(node).__name__)
    segment = brief(ast.get_source_segment(text, node) or "", 40)
    raise ConstraintError(f"holds {what}, {segment}, which is not allowed; {ALLOWED}")


def _constant(node: ast.Constant, build: Build) -> Evaluate:
    value = node.value
    if not isinstance(value, int | float | str):
        raise ConstraintError(f"holds {value!r}, which is not allowed; {ALLOWED}")
    _bounded(value)
    return lambda variables: value


def _name(node: ast.Name, build: Build) -> Evaluate:
    return operator.itemgetter(node.id)


def _boolean(node: ast.BoolOp, build: Build) -> Evaluate:
    parts = [build(value) for value in node.values]
    stop = isinstance(node.op, ast.Or)

    def evaluate(variables: Variables) -> Operand:
        for part in parts[:-1]:
            if _truth(part(variables)) is stop:
                return stop
        return _truth(parts[-1](variables))

    return evaluate


def _unary(node: ast.UnaryOp, build: Build) -> Evaluate:
    operand = build(node.operand)
    if isinstance(node.op, ast.Not):
        return lambda variables: not _truth(operand(variables))
    if not isinstance(node.op, ast.USub | ast.UAdd):
        raise ConstraintError(f"holds ~, which is not allowed; {ALLOWED}")
    operation = operator.neg if isinstance(node.op, ast.USub) else operator.pos
    return lambda variables: operation(_number(operand(variables)))


def _binary(node: ast.BinOp, build: Build) -> Evaluate:
    operation = ARITHMETIC.get(type(node.op))
    if operation is None:
        raise ConstraintError(f"holds {_SYMBOLS[type(node.op)]}, which is not allowed; {ALLOWED}")
    left, right = build(node.left), build(node.right)

    def evaluate(variables: Variables) -> Operand:
        return _bounded(operation(_number(left(variables)), _number(right(variables))))

    return evaluate


def _comparison(node: ast.Compare, build: Build) -> Evaluate:
    operands = [build(node.left)]
    tests = []
    for kind, comparator in zip(node.ops, node.comparators, strict=True):
        if type(kind) not in COMPARISONS:
            raise ConstraintError(f"holds 'is', which is not allowed; compare with ==; {ALLOWED}")
        is_membership = isinstance(kind, ast.In | ast.NotIn)
        operands.append(_members(comparator, build) if is_membership else build(comparator))
        tests.append(COMPARISONS[type(kind)])
    return _chain(operands, tests) if len(tests) > 1 else _single(operands[0], tests[0], operands[1])


def _single(left: Evaluate, test: Callable[[Any, Any], bool], right: Evaluate) -> Evaluate:
    return lambda variables: test(left(variables), right(variables))


def _chain(operands: Sequence[Evaluate], tests: Sequence[Callable[[Any, Any], bool]]) -> Evaluate:
    def evaluate(variables: Variables) -> Operand:
        left = operands[0](variables)
        for test, operand in zip(tests, operands[1:], strict=True):
            right = operand(variables)
            if not test(left, right):
                return False
            left = right
        return True

    return evaluate


def _members(node: ast.expr, build: Build) -> Evaluate:
    if not isinstance(node, ast.Tuple | ast.List):
        raise ConstraintError("'in' needs a list in the constraint itself, for example x in (1, 2)")
    members = [build(element) for element in node.elts]
    return lambda variables: [member(variables) for member in members]


def _choice(node: ast.IfExp, build: Build) -> Evaluate:
    test, yes, no = (build(part) for part in (node.test, node.body, node.orelse))
    return lambda variables: yes(variables) if _truth(test(variables)) else no(variables)


def _truth(value: Operand) -> bool:
    if not isinstance(value, bool):
        raise ConstraintError(
            f"and, or, not and if take true or false, not {brief(repr(value), 60)}; compare it"
        )
    return value


def _number(value: Operand) -> int | float:
    if not isinstance(value, int | float):
        raise ConstraintError(f"cannot calculate with {brief(repr(value), 60)}")
    return value


def _bounded(value: Operand) -> Operand:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ConstraintError(f"an integer of more than {MAX_BITS} bits")
    return value


ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda member, members: member in members,
    ast.NotIn: lambda member, members: member not in members,
}
_BUILDERS: Mapping[type[ast.expr], Callable[[Any, Build], Evaluate]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Compare: _comparison,
    ast.IfExp: _choice,
}
_SYMBOLS: Mapping[type[ast.operator], str] = {
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "& (write 'and')",
    ast.BitOr: "| (write 'or')",
    ast.BitXor: "^",
}
_REFUSED: Mapping[type[ast.expr], str] = {
    ast.Call: "a call",
    ast.Attribute: "an attribute",
    ast.Subscript: "a subscript",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "an f-string",
    ast.Tuple: "a list outside 'in'",
    ast.List: "a list outside 'in'",
    ast.Set: "a set",
    ast.Dict: "a mapping",
    ast.Starred: "a starred expression",
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "a comprehension"),
}
