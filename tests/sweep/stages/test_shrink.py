from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.matmul import MATMUL
from workbench.sweep.stages.shrink import MAX_PROGRAMS, interpreted_problem

UNSCALED = dataclasses.replace(MATMUL, interpreter_problem=None)
CONFIG = UNSCALED.default_config
PROBLEM = {"hidden": 64, "width": 64, "dtype": "bf16", "tokens": 1000}


@settings(deadline=None)
@given(st.integers(1, 100_000))
def test_a_shortened_ladder_leaves_few_programs_and_the_same_remainder(tokens):
    shrunk = interpreted_problem(UNSCALED, {**PROBLEM, "tokens": tokens}, CONFIG)
    assert shrunk["tokens"] <= tokens
    assert shrunk["tokens"] % CONFIG["BLOCK_M"] == tokens % CONFIG["BLOCK_M"]
    assert -(-shrunk["tokens"] // CONFIG["BLOCK_M"]) <= MAX_PROGRAMS


def test_only_the_ladder_is_shortened():
    shrunk = interpreted_problem(UNSCALED, PROBLEM, CONFIG)
    assert {**shrunk, "tokens": 1000} == PROBLEM


def test_a_small_problem_stays_as_it_is():
    small = {**PROBLEM, "tokens": 65}
    assert interpreted_problem(UNSCALED, small, CONFIG) == small


@pytest.mark.parametrize("width", [64 * 100])
def test_where_no_length_leaves_few_programs_the_shortest_is_taken(width):
    shrunk = interpreted_problem(UNSCALED, {**PROBLEM, "width": width}, CONFIG)
    assert shrunk["tokens"] == 1


def test_a_kernels_own_rule_is_taken_first():
    shrunk = interpreted_problem(MATMUL, PROBLEM, CONFIG)
    assert shrunk == MATMUL.interpreter_problem(PROBLEM, CONFIG)
