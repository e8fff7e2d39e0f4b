from __future__ import annotations

import itertools
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.sweep.constraints import Constraint
from workbench.sweep.space import join, predicates
from workbench.sweep.space.enumeration import Enumeration
from workbench.sweep.space.join import Tally, TooManyError
from workbench.trials.config_table import ConfigTable

FIXED = {"tokens": 6, "dtype": "bf16"}
LEVELS = list(range(1, 33))


def _by_brute_force(values, constraints):
    """Every config that no constraint rejects, in order, and the first of them on which a constraint raises."""
    rows, raising = [], None
    for row in itertools.product(*values.values()):
        config = {**FIXED, **dict(zip(values, row, strict=True))}
        verdicts = [_verdict(constraint, config) for constraint in constraints]
        if False not in verdicts:
            rows.append(row)
            raising = config if raising is None and None in verdicts else raising
    return rows, raising


def _verdict(constraint, config):
    try:
        return constraint(config)
    except InputError:
        return None


def _enumerated(values, constraints, tally=None):
    enumeration = Enumeration(values, FIXED, constraints, tally or Tally(10**9))
    keys = enumeration.keys(10**6)
    table = ConfigTable.of_keys(values, keys, tuple(values))
    return [tuple(config.values()) for config in table], enumeration.first_raising(keys)


def _product(values, *texts):
    return _enumerated(values, [Constraint(text) for text in texts])[0]


_parameters = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.integers(-3, 12), min_size=1, max_size=5, unique=True)
    | st.lists(st.floats(-2, 2), min_size=1, max_size=3, unique=True)
    | st.lists(st.sampled_from(["bf16", "fp32", "x"]), min_size=1, max_size=3, unique=True),
    max_size=4,
)
_shapes = [
    "{} % {} == 0",
    "{} * {} <= {}",
    "2 <= {} * {}",
    "{} != 0",
    "{} == 0 or {} % {} == 1",
    "{} != 0 and {} // {} > 0 and {} < 7",
    "not {} > 3 or {} + {} <= tokens",
    "({} <= {} if {} > 2 else {} == 1)",
    "{} in (1, 2, {})",
    "{} == dtype",
    "tokens > 5 and {} < {} < {}",
    "tokens > 6",
    "{} > 1 and {} > 2",
]


@st.composite
def _spaces(draw):
    values = draw(_parameters)
    names = st.sampled_from([*values, "tokens"])
    texts = [
        shape.format(*(draw(names) for _ in range(shape.count("{}"))))
        for shape in draw(st.lists(st.sampled_from(_shapes), max_size=4))
    ]
    return values, [Constraint(text) for text in texts]


@settings(deadline=None, max_examples=400)
@given(space=_spaces(), table_size=st.sampled_from([1, 6, 1 << 20]), block=st.sampled_from([1, 7, 1 << 18]))
def test_a_joined_space_is_the_filtered_product_in_its_order(space, table_size, block):
    expected = _by_brute_force(*space)
    with patch.object(predicates, "TABLE_SIZE", table_size), patch.object(join, "BLOCK", block):
        assert _enumerated(*space) == expected


@settings(deadline=None, max_examples=200)
@given(space=_spaces())
def test_every_combination_is_allowed_or_rejected_by_one_constraint(space):
    tally = Tally(10**9)
    found, _ = _enumerated(*space, tally)
    combinations = len(list(itertools.product(*space[0].values())))
    assert tally.rejected.total() == combinations - len(found)


def test_a_config_that_a_constraint_rejects_needs_no_answer_from_the_others():
    assert _product({"a": [4, 5], "b": [0, 2]}, "a % b == 0", "b > 0") == [(4, 2)]


def test_parameters_that_no_constraint_connects_are_enumerated_by_themselves():
    tally = Tally(3 * 1024 + 32 * 4)
    values = dict.fromkeys("abcdef", LEVELS)
    constraints = [Constraint(text) for text in ("a == b", "c == d", "e == f", "b == 1", "d == 2")]
    found, _ = _enumerated(values, constraints, tally)
    assert found == [(1, 1, 2, 2, each, each) for each in LEVELS]


def test_a_product_of_free_parameters_that_does_not_fit_is_refused_before_it_is_made():
    enumeration = Enumeration(dict.fromkeys("abcdefgh", LEVELS), {}, [], Tally(10**9))
    with pytest.raises(TooManyError) as caught:
        enumeration.keys(10**6)
    assert caught.value.configs >= 10**6


def test_connected_configs_that_do_not_fit_are_counted_no_further_than_needed():
    values = dict.fromkeys("abcdefgh", LEVELS)
    tally = Tally(10**9)
    constraints = [Constraint(f"{left} <= {right} + 20") for left, right in itertools.pairwise("abcdefgh")]
    with pytest.raises(TooManyError) as caught:
        Enumeration(values, {}, constraints, tally).keys(10**5)
    assert 10**5 < caught.value.configs < 10**6


def test_an_enumeration_stops_where_it_takes_too_many_evaluations():
    values = dict.fromkeys("abcdef", LEVELS)
    with pytest.raises(TooManyError) as caught:
        Enumeration(values, {}, [Constraint("a + b + c + d + e + f < 0")], Tally(10**6)).keys(10**6)
    assert caught.value.configs is None


def test_a_partial_product_larger_than_the_memory_is_never_held():
    values = {name: list(range(200)) for name in "abc"} | {"d": [0]}
    total = "a + b + c + d"
    assert len(_product(values, f"{total} == 10")) == 66
