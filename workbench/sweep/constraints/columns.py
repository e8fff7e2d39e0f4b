"""The value of an expression in many rows at once; where that may not be Python's value the row is doubtful.

Every operation evaluates all rows and never raises. What `and`, `or`, `if` and a chain of comparisons would not have
evaluated in a row does not make that row doubtful, so `b != 0 and a % b == 0` has an answer everywhere.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from moe_kernels.tunable import Value
from workbench.sweep.constraints.column import (
    FLOAT_EXACT,
    INT_LIMIT,
    UNKNOWN,
    Array,
    Mask,
    ValueColumn,
    column_of,
    constant,
)
from workbench.sweep.constraints.constraint import Constraint
from workbench.sweep.constraints.scalar import ARITHMETIC, COMPARISONS

Columns = Mapping[str, ValueColumn]
Evaluate = Callable[[Columns], ValueColumn]
Operand = ValueColumn | Sequence[ValueColumn]

_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)


def evaluator(constraint: Constraint) -> Evaluate:
    """What evaluates a constraint over columns; a column of truth, doubtful where the constraint may raise."""
    evaluate = _build(constraint.tree)

    def decide(columns: Columns) -> ValueColumn:
        with np.errstate(all="ignore"):
            return _truth(evaluate(columns))

    return decide


def holds(constraint: Constraint, columns: Mapping[str, Sequence[Value] | Array]) -> Mask:
    """Evaluates a constraint in every row.

    Args:
        constraint: the constraint.
        columns: for each name that it reads, its values, one a row.

    Returns:
        Where the constraint holds; what calling it with each row's values gives.

    Raises:
        InputError: what calling it raises for the first row for which it raises.
    """
    rows = max(map(len, columns.values()), default=0)
    decided = evaluator(constraint)({name: column_of(values) for name, values in columns.items()})
    result = np.broadcast_to(decided.values, rows).copy()
    for row in np.flatnonzero(np.broadcast_to(decided.doubtful, rows)).tolist():
        result[row] = constraint({name: _item(values[row]) for name, values in columns.items()})
    return result


def _item(value: Any) -> Value:
    item: Value = value.item() if isinstance(value, np.generic) else value
    return item


def _build(node: ast.expr) -> Evaluate:
    return _BUILDERS[type(node)](node)


def _constant(node: ast.Constant) -> Evaluate:
    column = constant(node.value)  # type: ignore[arg-type]
    return lambda columns: column


def _name(node: ast.Name) -> Evaluate:
    return lambda columns: columns.get(node.id, UNKNOWN)


def _boolean(node: ast.BoolOp) -> Evaluate:
    parts = [_build(value) for value in node.values]
    join = _both if isinstance(node.op, ast.And) else _either

    def evaluate(columns: Columns) -> ValueColumn:
        return reduce(join, (_truth(part(columns)) for part in parts))

    return evaluate


def _both(first: ValueColumn, second: ValueColumn) -> ValueColumn:
    doubtful = first.doubtful | (first.values & second.doubtful)
    return ValueColumn(first.values & second.values, doubtful)


def _either(first: ValueColumn, second: ValueColumn) -> ValueColumn:
    doubtful = first.doubtful | (~first.values & second.doubtful)
    return ValueColumn(first.values | second.values, doubtful)


def _unary(node: ast.UnaryOp) -> Evaluate:
    operand = _build(node.operand)
    if isinstance(node.op, ast.Not):
        return lambda columns: _opposite(_truth(operand(columns)))
    return lambda columns: _signed(operand(columns), -1 if isinstance(node.op, ast.USub) else 1)


def _opposite(column: ValueColumn) -> ValueColumn:
    return ValueColumn(~column.values, column.doubtful)


def _signed(column: ValueColumn, sign: int) -> ValueColumn:
    if column.is_text:
        return UNKNOWN
    values = column.as_integers() if column.is_integer else column.values
    return ValueColumn(values * sign, column.doubtful, column.bound, column.mixed)


def _binary(node: ast.BinOp) -> Evaluate:
    left, right, kind = _build(node.left), _build(node.right), type(node.op)
    return lambda columns: _calculated(kind, left(columns), right(columns))


def _calculated(kind: type[ast.operator], left: ValueColumn, right: ValueColumn) -> ValueColumn:
    if left.is_text or right.is_text:
        return UNKNOWN
    if kind in _DIVISIONS:
        zero = right.values == 0
        right = ValueColumn(np.where(zero, 1, right.values), right.doubtful | zero, right.bound, right.mixed)
    if left.is_integer and right.is_integer and kind is not ast.Div:
        return _integers(kind, left, right)
    return _floats(kind, left, right)


def _integers(kind: type[ast.operator], left: ValueColumn, right: ValueColumn) -> ValueColumn:
    operation, bound = ARITHMETIC[kind], _BOUNDS[kind](left.bound, right.bound)
    doubtful = left.doubtful | right.doubtful
    if bound >= INT_LIMIT:
        estimate = operation(left.values.astype(np.float64), right.values.astype(np.float64))
        # Half the limit, as the estimate is rounded.
        doubtful, bound = doubtful | (np.abs(estimate) >= INT_LIMIT // 2), INT_LIMIT
    return ValueColumn(operation(left.as_integers(), right.as_integers()), doubtful, bound)


def _floats(kind: type[ast.operator], left: ValueColumn, right: ValueColumn) -> ValueColumn:
    (first, unsure_first), (second, unsure_second) = left.as_floats(), right.as_floats()
    values, doubtful = ARITHMETIC[kind](first, second), unsure_first | unsure_second
    mixed = kind is not ast.Div and all(each.is_integer or each.mixed for each in (left, right))
    if mixed:
        doubtful = doubtful | (np.abs(values) >= FLOAT_EXACT)
    return ValueColumn(values, doubtful, mixed=mixed)


def _comparison(node: ast.Compare) -> Evaluate:
    operands = [_operand(each) for each in (node.left, *node.comparators)]
    kinds = [type(each) for each in node.ops]

    def evaluate(columns: Columns) -> ValueColumn:
        values = [operand(columns) for operand in operands]
        pairs = zip(kinds, values, values[1:], strict=False)
        tests = [_compared(kind, left, right) for kind, left, right in pairs]
        return reduce(_both, tests)

    return evaluate


def _operand(node: ast.expr) -> Callable[[Columns], Operand]:
    if not isinstance(node, ast.Tuple | ast.List):
        return _build(node)
    members = [_build(element) for element in node.elts]
    return lambda columns: [member(columns) for member in members]


def _compared(kind: type[ast.cmpop], left: Operand, right: Operand) -> ValueColumn:
    if not isinstance(left, ValueColumn):
        return UNKNOWN
    if isinstance(right, ValueColumn):
        return _pair(kind, left, right)
    found = _member(left, right)
    return found if kind is ast.In else _opposite(found)


def _member(left: ValueColumn, members: Sequence[ValueColumn]) -> ValueColumn:
    result = ValueColumn(np.zeros((), dtype=bool), left.doubtful)
    if left.values.dtype.kind == "f":
        # Python finds the very object first, and then not a number is in a list of itself.
        result = ValueColumn(result.values, result.doubtful | np.isnan(left.values))
    for member in members:
        same = _pair(ast.Eq, left, member)
        result = ValueColumn(result.values | same.values, result.doubtful | same.doubtful)
    return result


def _pair(kind: type[ast.cmpop], left: ValueColumn, right: ValueColumn) -> ValueColumn:
    doubtful = left.doubtful | right.doubtful
    if left.is_text != right.is_text:
        differ = kind in (ast.Eq, ast.NotEq)
        return ValueColumn(np.asarray(kind is ast.NotEq), doubtful if differ else doubtful | True)
    first, second = left.values, right.values
    if not left.is_text and left.is_integer != right.is_integer:
        (first, unsure_first), (second, unsure_second) = left.as_floats(), right.as_floats()
        doubtful = unsure_first | unsure_second
    return ValueColumn(np.asarray(COMPARISONS[kind](first, second), dtype=bool), doubtful)


def _choice(node: ast.IfExp) -> Evaluate:
    test, yes, no = _build(node.test), _build(node.body), _build(node.orelse)
    return lambda columns: _chosen(_truth(test(columns)), yes(columns), no(columns))


def _chosen(test: ValueColumn, yes: ValueColumn, no: ValueColumn) -> ValueColumn:
    mixed = False
    if {yes.values.dtype.kind, no.values.dtype.kind} == {"i", "f"}:
        mixed = True
        yes, no = (ValueColumn(*each.as_floats(), mixed=each.is_integer or each.mixed) for each in (yes, no))
    mixed = mixed or yes.mixed or no.mixed
    if yes.values.dtype != no.values.dtype:
        yes, no = (each if each.is_truth else UNKNOWN for each in (yes, no))
    doubtful = test.doubtful | np.where(test.values, yes.doubtful, no.doubtful)
    return ValueColumn(
        np.where(test.values, yes.values, no.values), doubtful, max(yes.bound, no.bound), mixed
    )


def _truth(column: ValueColumn) -> ValueColumn:
    return column if column.is_truth else UNKNOWN


_BOUNDS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left + right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left,
    ast.Mod: lambda left, right: right,
}
_BUILDERS: Mapping[type[ast.expr], Callable[[Any], Evaluate]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Compare: _comparison,
    ast.IfExp: _choice,
}
