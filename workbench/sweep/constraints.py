"""Constraints of a sweep file: small expressions over the problem's axes and the config's parameters.

An expression is parsed into a syntax tree and built, node by node, out of the operations listed here. Python
never compiles or evaluates it, so a constraint can compare and calculate and nothing else.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from workbench.errors import InputError
from workbench.yaml_source import brief, suggestion

__all__ = ["Constraint"]

Operand = Any
Variables = Mapping[str, Operand]
Evaluate = Callable[[Variables], Operand]
Build = Callable[[ast.expr], Evaluate]

MAX_LENGTH = 1000
MAX_DEPTH = 40
MAX_BITS = 256

_ALLOWED = "allowed: names, numbers, strings, + - * / // %, comparisons, in, and, or, not, x if c else y"


class Constraint:
    """One parsed constraint; calling it with a value for every name says whether the values satisfy it.

    Args:
        text: the expression, for example `tokens_per_program <= tokens`.

    Attributes:
        text: the expression as it was written.
        names: the variables that it reads.

    Raises:
        InputError: the text is no expression, or holds what no constraint may hold.
    """

    __slots__ = ("_evaluate", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            tree = _parse(text.strip())
            self.names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
            self._evaluate = _build(text.strip(), tree.body)
        except _ConstraintError as error:
            raise InputError(f"constraint {brief(text, 80)!r}: {error}") from None

    def __repr__(self) -> str:
        return f"Constraint({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type[Constraint], tuple[str]]:
        return Constraint, (self.text,)

    def check_names(self, variables: Collection[str]) -> None:
        """Checks that every name is one of the variables.

        Raises:
            InputError: names the first that is not, and lists the variables.
        """
        for name in sorted(self.names - set(variables)):
            known = f"{suggestion(name, list(variables))}; the variables are {', '.join(variables)}"
            raise InputError(
                f"constraint {brief(self.text, 80)!r}: unknown variable {brief(name, 60)!r}{known}"
            )

    def __call__(self, variables: Variables) -> bool:
        """Evaluates the constraint.

        Raises:
            InputError: the values cannot be calculated with (a division by zero, a string and a number),
                or the result is neither true nor false.
        """
        try:
            result = self._evaluate(variables)
        except KeyError as error:
            raise self._failed(f"unknown variable {error.args[0]!r}", variables) from None
        except (TypeError, ArithmeticError, _ConstraintError) as error:
            raise self._failed(str(error), variables) from None
        if not isinstance(result, bool):
            raise self._failed(f"gives {brief(repr(result), 60)}, not true or false,", variables)
        return result

    def _failed(self, what: str, variables: Variables) -> InputError:
        used = ", ".join(f"{name}={variables[name]!r}" for name in sorted(self.names & set(variables)))
        return InputError(f"constraint {brief(self.text, 80)!r}: {what}{' for ' if used else ''}{used}")


class _ConstraintError(Exception):
    """What is wrong with an expression, without saying which."""


def _parse(text: str) -> ast.Expression:
    if len(text) > MAX_LENGTH:
        raise _ConstraintError(f"is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval")
    except SyntaxError as error:
        reason = error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error)
    raise _ConstraintError(f"is no expression: {brief(reason, 80)}; {_ALLOWED}")


def _build(text: str, node: ast.expr, depth: int = MAX_DEPTH) -> Evaluate:
    if depth == 0:
        raise _ConstraintError(f"is nested deeper than {MAX_DEPTH} levels")
    if builder := _BUILDERS.get(type(node)):
        return builder(node, lambda inner: _build(text, inner, depth - 1))
    what = _REFUSED.get(type(node), type(node).__name__)
    segment = brief(ast.get_source_segment(text, node) or "", 40)
    raise _ConstraintError(f"holds {what}, {segment}, which is not allowed; {_ALLOWED}")


def _constant(node: ast.Constant, build: Build) -> Evaluate:
    value = node.value
    if not isinstance(value, int | float | str):
        raise _ConstraintError(f"holds {value!r}, which is not allowed; {_ALLOWED}")
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
        raise _ConstraintError(f"holds ~, which is not allowed; {_ALLOWED}")
    operation = operator.neg if isinstance(node.op, ast.USub) else operator.pos
    return lambda variables: operation(_number(operand(variables)))


def _binary(node: ast.BinOp, build: Build) -> Evaluate:
    operation = _ARITHMETIC.get(type(node.op))
    if operation is None:
        raise _ConstraintError(f"holds {_SYMBOLS[type(node.op)]}, which is not allowed; {_ALLOWED}")
    left, right = build(node.left), build(node.right)

    def evaluate(variables: Variables) -> Operand:
        return _bounded(operation(_number(left(variables)), _number(right(variables))))

    return evaluate


def _comparison(node: ast.Compare, build: Build) -> Evaluate:
    operands = [build(node.left)]
    tests = []
    for kind, comparator in zip(node.ops, node.comparators, strict=True):
        if type(kind) not in _COMPARISONS:
            raise _ConstraintError(f"holds 'is', which is not allowed; compare with ==; {_ALLOWED}")
        is_membership = isinstance(kind, ast.In | ast.NotIn)
        operands.append(_members(comparator, build) if is_membership else build(comparator))
        tests.append(_COMPARISONS[type(kind)])
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
        raise _ConstraintError("'in' needs a list in the constraint itself, for example x in (1, 2)")
    members = [build(element) for element in node.elts]
    return lambda variables: [member(variables) for member in members]


def _choice(node: ast.IfExp, build: Build) -> Evaluate:
    test, yes, no = (build(part) for part in (node.test, node.body, node.orelse))
    return lambda variables: yes(variables) if _truth(test(variables)) else no(variables)


def _truth(value: Operand) -> bool:
    if not isinstance(value, bool):
        raise _ConstraintError(
            f"and, or, not and if take true or false, not {brief(repr(value), 60)}; compare it"
        )
    return value


def _number(value: Operand) -> int | float:
    if not isinstance(value, int | float):
        raise _ConstraintError(f"cannot calculate with {brief(repr(value), 60)}")
    return value


def _bounded(value: Operand) -> Operand:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise _ConstraintError(f"an integer of more than {MAX_BITS} bits")
    return value


_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
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
