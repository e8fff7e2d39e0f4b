from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.sweep.constraints import Constraint

VALUES = {"tokens": 8, "block": 3, "ratio": 0.5, "mode": "fast"}


@pytest.mark.parametrize(
    "text",
    [
        "block <= tokens",
        "1 < block <= tokens < 100",
        "not (1 < block < 2)",
        "tokens % 4 == 0 and tokens // 4 == 2",
        "tokens / 16 == ratio",
        "-block + 5 == +2",
        "mode == 'fast' or block > 100",
        "mode in ('fast', 'slow')",
        "block not in [1, 2]",
        "block in (tokens - 5, 1)",
        "(block == 3 if mode == 'fast' else block == 4)",
        "True",
        "  block\t< 4  ",
    ],
)
def test_what_holds_is_true(text):
    assert Constraint(text)(VALUES) is True


@pytest.mark.parametrize(
    "text", ["block > tokens", "1 < block < 2", "mode != 'fast'", "block in ()", "not True"]
)
def test_what_does_not_hold_is_false(text):
    assert Constraint(text)(VALUES) is False


def test_and_and_or_stop_where_the_answer_is_known():
    assert Constraint("block == 3 or 1 // 0 == 1")(VALUES) is True
    assert Constraint("block == 4 and 1 // 0 == 1")(VALUES) is False
    assert Constraint("block < 0 < 1 // 0")(VALUES) is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("open('x')", "a call, open('x')"),
        ("min(block, 2) == 2", "a call, min(block, 2)"),
        ("mode.upper == 1", "an attribute, mode.upper"),
        ("().__class__.__bases__ == 1", "an attribute"),
        ("tokens[0] == 1", "a subscript"),
        ("(lambda: 1) == 1", "a lambda"),
        ("(x := 1) == 1", "an assignment"),
        ("f'{block}' == 'a'", "an f-string"),
        ("[x for x in (1, 2)] == 1", "a comprehension"),
        ("block in {1, 2}", "'in' needs a list"),
        ("block in mode", "'in' needs a list"),
        ("(1, 2) == (1, 2)", "a list outside 'in'"),
        ("{1: 2} == 1", "a mapping"),
        ("2 ** tokens > 1", "**"),
        ("1 << tokens > 1", "<<"),
        ("block & 1 == 1", "write 'and'"),
        ("~block == 1", "~"),
        ("block is 3", "'is'"),
        ("block == None", "None"),
        ("block == b'x'", "b'x'"),
        ("block == 1j", "1j"),
        ("block == " + "9" * 500, "more than 256 bits"),
        ("", "no expression"),
        ("block <", "no expression"),
        ("block = 3", "no expression"),
        ("import os", "no expression"),
        ("block\0", "no expression"),
        ("block\n== 3", "no expression"),
        ("(" * 500 + "1" + ")" * 500, "longer than|no expression"),
        ("-" * 900 + "1 < 2", "nested deeper|no expression"),
        ("not " * 60 + "True", "nested deeper"),
        ("1 < 2 " + "or 1 < 2 " * 200, "longer than"),
    ],
)
def test_what_a_constraint_may_not_hold_is_named(text, told):
    with pytest.raises(InputError) as caught:
        Constraint(text)
    assert any(each in str(caught.value) for each in told.split("|"))
    assert "constraint " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tokens / (block - 3) > 1", "division by zero for block=3, tokens=8"),
        ("tokens % 0 == 1", "for tokens=8"),
        ("mode < 3", "not supported between instances of 'str' and 'int' for mode='fast'"),
        ("mode * 1000000 == 'a'", "cannot calculate with 'fast'"),
        ("mode + 'a' == 'a'", "cannot calculate with 'fast'"),
        ("-mode == 'a'", "cannot calculate with 'fast'"),
        ("'%s' % 5 == '5'", "cannot calculate with '%s'"),
        ("tokens + block", "gives 11, not true or false"),
        ("tokens and True", "take true or false, not 8"),
        ("not tokens", "take true or false, not 8"),
        ("True if tokens else False", "take true or false, not 8"),
        (" * ".join(["18446744073709551615"] * 5) + " > 1", "more than 256 bits"),
        ("missing == 1", "unknown variable 'missing'"),
    ],
)
def test_what_cannot_be_evaluated_names_the_constraint_and_its_values(text, told):
    with pytest.raises(InputError) as caught:
        Constraint(text)(VALUES)
    assert told in str(caught.value)
    assert text[:40] in str(caught.value)


def test_an_unknown_name_is_answered_with_the_variables():
    constraint = Constraint("blok <= tokens")
    assert constraint.names == {"blok", "tokens"}
    with pytest.raises(
        InputError, match=r"'blok' \(did you mean 'block'\?\); the variables are tokens, block"
    ):
        constraint.check_names(["tokens", "block"])
    constraint.check_names(["tokens", "blok", "other"])


def test_a_constraint_travels_to_another_process():
    copy = pickle.loads(pickle.dumps(Constraint("block <= tokens")))
    assert (copy.text, copy(VALUES)) == ("block <= tokens", True)


_numbers = st.sampled_from(["tokens", "block", "ratio"]) | st.integers(0, 20).map(str)
_strings = st.sampled_from(["mode", "'fast'", "'slow'", '"x"'])


def _arithmetic(inner):
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    joined = st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})")
    return joined | inner.map(lambda each: f"-{each}")


_values = st.recursive(_numbers, _arithmetic, max_leaves=4)
_comparators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
_tests = (
    st.tuples(_values, _comparators, _values, _comparators, _values).map(" ".join)
    | st.tuples(_values, _comparators, _values).map(" ".join)
    | st.tuples(_strings, st.sampled_from(["==", "!=", "<"]), _strings).map(" ".join)
    | st.tuples(_values, st.sampled_from(["in", "not in"]), st.lists(_values, max_size=3)).map(
        lambda parts: f"{parts[0]} {parts[1]} [{', '.join(parts[2])}]"
    )
)


def _logic(inner):
    joined = st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})")
    chosen = st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})")
    return joined | chosen | inner.map(lambda each: f"not {each}")


_variables = st.fixed_dictionaries(
    {
        "tokens": st.integers(-5, 4096),
        "block": st.integers(-5, 64),
        "ratio": st.floats(-2, 2),
        "mode": st.sampled_from(["fast", "slow"]),
    }
)


@settings(deadline=None)
@given(text=st.recursive(_tests, _logic, max_leaves=5), variables=_variables)
def test_a_constraint_means_what_python_means(text, variables):
    try:
        expected = eval(text, {"__builtins__": {}}, dict(variables))
    except ZeroDivisionError:
        with pytest.raises(InputError, match=r"by zero|modulo"):
            Constraint(text)(variables)
    else:
        assert Constraint(text)(variables) is expected


_pieces = [
    "tokens",
    "block",
    "mode",
    "1",
    "0",
    "'x'",
    "<",
    "==",
    "and",
    "or",
    "not",
    "in",
    "(",
    ")",
    "[",
    "]",
    ",",
]
_pieces += [
    "+",
    "*",
    "**",
    "//",
    "%",
    "-",
    ".",
    ":=",
    "lambda",
    "if",
    "else",
    "{",
    "}",
    "f''",
    "~",
    "is",
    "\\",
    "#",
]


@settings(deadline=None)
@given(
    text=st.text(max_size=60) | st.lists(st.sampled_from(_pieces), max_size=14).map(" ".join),
    variables=_variables,
)
def test_any_text_is_a_constraint_or_one_clear_error(text, variables):
    try:
        assert isinstance(Constraint(text)(variables), bool)
    except InputError as error:
        assert "\n" not in str(error)
