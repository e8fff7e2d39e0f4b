from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.sweep.constraints import Constraint
from workbench.sweep.constraints.columns import holds

HUGE = 1 << 62


def _row_by_row(constraint, columns):
    """What calling the constraint with each row gives: its answers, or the first error's text."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    try:
        return [constraint(row) for row in rows]
    except InputError as error:
        return str(error)


def _at_once(constraint, columns):
    try:
        return holds(constraint, columns).tolist()
    except InputError as error:
        return str(error)


def _same(text, **columns):
    constraint = Constraint(text)
    expected = _row_by_row(constraint, columns)
    assert _at_once(constraint, columns) == expected
    return expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b != 0 and a % b == 0", [False, True, False, False]),
        ("b == 0 or a // b >= 2", [True, True, True, False]),
        ("(a % b == 0 if b != 0 else a > 2)", [True, True, False, False]),
        ("0 < b < a // b", [False, False, False, False]),
        ("b in (0, a // 2)", [True, True, True, False]),
        ("not a == 4 or b == 0", [True, False, True, True]),
    ],
)
def test_a_row_that_a_guard_keeps_from_a_division_by_zero_has_an_answer(text, expected):
    assert _same(text, a=[4, 4, 7, -7], b=[0, 2, 3, 5]) == expected


def test_the_error_of_the_first_row_that_has_one_is_reported():
    assert "division by zero for a=4, b=0" in _same("a / b > 1", a=[3, 4, 5], b=[1, 0, 0])
    assert "cannot calculate with 'fast' for mode='fast'" in _same("mode * 2 == 1", mode=["fast", "slow"])
    assert "take true or false, not 3" in _same("a and True", a=[3, 4])
    assert "gives 3, not true or false" in _same("a", a=[3, 4])
    assert "unknown variable 'c'" in _same("a == 4 or c == 1", a=[4, 3])


def test_a_name_without_a_column_matters_only_where_it_is_read():
    assert _same("a < 4 or c == 1", a=[3, 2]) == [True, True]


def test_integers_do_not_wrap_and_are_compared_with_floats_exactly():
    assert _same("a * a * a > 0", a=[HUGE, 3_000_000, -HUGE]) == [True, True, False]
    assert _same("a + 1 == b", a=[HUGE, 1], b=[HUGE + 1, 2]) == [True, True]
    assert _same("a == x", a=[(1 << 53) + 1], x=[float(1 << 53)]) == [False]
    assert _same("a / 3 == b / 3", a=[(1 << 60) + 1], b=[1 << 60]) == [True]
    assert _same("a > 9223372036854775808", a=[1 << 63, (1 << 63) + 1, 5]) == [False, True, False]
    assert "more than 256 bits" in _same("a * a * a * a * a > 0", a=[5, HUGE])


def test_columns_of_several_types_are_evaluated_as_python_does():
    assert _same("a * 3 > 4", a=[1, 2.5, (1 << 53) + 1]) == [False, True, True]
    assert "cannot calculate with 'x'" in _same("a + 1 == 2", a=[1, "x"])
    assert _same(
        "(a if c else x) * 3 == 27021597764222979", a=[9007199254740993] * 2, x=[0.5] * 2, c=[True, False]
    ) == [
        True,
        False,
    ]
    assert _same("(a > 1 if c else a) == True", a=[1, 3], c=[False, True]) == [True, True]
    assert _same("a in (1, 2) == True", a=[1, 3]) == [False, False]


def test_numpy_columns_are_columns():
    columns = {"a": np.arange(-6, 7), "x": np.linspace(-2, 2, 13)}
    listed = {name: values.tolist() for name, values in columns.items()}
    constraint = Constraint("a % 4 == 2 and x // 0.5 < a")
    assert holds(constraint, columns).tolist() == _row_by_row(constraint, listed)


_names = ["small", "large", "ratio", "mixed", "flag"]
_numbers = (
    st.sampled_from(_names)
    | st.integers(0, 20).map(str)
    | st.sampled_from(["0.5", "3.0", "1e999", "9007199254740993", "4611686018427387904", "True"])
)
_strings = st.sampled_from(["mode", "'fast'", "'slow'"])


def _arithmetic(inner):
    joined = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner)
    chosen = st.tuples(inner, inner, inner).map(
        lambda parts: f"({parts[0]} if {parts[1]} > 1 else {parts[2]})"
    )
    return joined.map(lambda parts: f"({' '.join(parts)})") | inner.map(lambda each: f"-{each}") | chosen


_values = st.recursive(_numbers, _arithmetic, max_leaves=5)
_operands = _values | _values | _values | _strings
_comparators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
_lists = st.lists(_operands, max_size=3).map(lambda members: f"[{', '.join(members)}]")
_tests = (
    st.tuples(_operands, _comparators, _operands).map(" ".join)
    | st.tuples(_values, _comparators, _values, _comparators, _values).map(" ".join)
    | st.tuples(_operands, st.sampled_from(["in", "not in"]), _lists).map(" ".join)
    | st.just("flag")
    | _operands
)


def _logic(inner):
    joined = st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})")
    chosen = st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})")
    return joined | chosen | inner.map(lambda each: f"(not {each})")


_rows = st.fixed_dictionaries(
    {
        "small": st.integers(-4, 9),
        "large": st.integers(-9, 9)
        | st.integers(-(1 << 66), 1 << 66)
        | st.sampled_from([1 << 53, HUGE, -HUGE]),
        "ratio": st.floats(-4, 4) | st.sampled_from([0.0, -0.0, 0.5, 2.0**53, 1e300]),
        "mixed": st.integers(-4, 9) | st.floats(-4, 4) | st.just((1 << 53) + 1),
        "flag": st.booleans(),
        "mode": st.sampled_from(["fast", "slow"]),
    }
)


@settings(deadline=None, max_examples=600)
@given(text=st.recursive(_tests, _logic, max_leaves=5), rows=st.lists(_rows, min_size=1, max_size=6))
def test_a_constraint_over_columns_is_the_constraint_row_by_row(text, rows):
    if len(text) <= 1000:
        _same(text, **{name: [row[name] for row in rows] for name in rows[0]})


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(st.recursive(_tests, _logic, max_leaves=2), min_size=1, max_size=4), row=_rows)
def test_conjuncts_are_asked_one_after_the_other_until_one_does_not_hold(parts, row):
    whole = Constraint(" and ".join(f"({part})" for part in parts))
    try:
        expected = whole(row)
    except InputError:
        expected = None
    try:
        found = all(part(row) for part in whole.conjuncts())
    except InputError:
        found = None
    assert found is expected
