from __future__ import annotations

import itertools
import json
import re
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.sweep.space import build_space

DEFAULT = {"block": 1, "mode": "fast", "scale": 0.5}


@pytest.fixture
def space(load, toy):
    return lambda **replaced: build_space(load(**replaced), toy)


@pytest.fixture
def complaint(space):
    def of(**replaced):
        with pytest.raises(InputError) as caught:
            space(**replaced)
        return caught.value

    return of


def _short(configs):
    return [(config["block"], config["mode"]) for config in configs]


def test_problems_come_in_the_order_of_the_file_and_their_axes_in_the_kernels(space):
    found = space(problems="{rows: [4, 2], dtype: [fp32, bf16]}")
    assert [tuple(problem.items()) for problem in found.problems] == [
        (("dtype", dtype), ("rows", rows)) for rows in (4, 2) for dtype in ("fp32", "bf16")
    ]


def test_configs_come_in_the_order_of_their_product_and_are_complete(space):
    configs = space(constraints="[]", space="{mode: [slow, fast], block: [2, 1]}").configs[0]
    assert _short(configs) == [(2, "slow"), (1, "slow"), (2, "fast"), (1, "fast")]
    assert all(list(config) == list(DEFAULT) and config["scale"] == 0.5 for config in configs)


def test_constraints_hold_for_every_config_of_every_problem(space):
    found = space()
    assert [_short(configs) for configs in found.configs] == [
        [(1, "fast"), (1, "slow"), (2, "fast"), (2, "slow")],
        [(1, "fast"), (1, "slow"), (2, "fast"), (2, "slow"), (4, "fast"), (4, "slow")],
    ]


def test_without_a_space_the_default_is_the_only_config(space):
    found = space(space="{}", constraints="[]")
    assert [list(configs) for configs in found.configs] == [[DEFAULT], [DEFAULT]]


def test_the_default_is_known_even_where_the_space_leaves_it_out(space):
    found = space(space="{block: [2]}", constraints="[]")
    assert found.default == DEFAULT
    assert [[config["block"] for config in configs] for configs in found.configs] == [[2], [2]]


def test_the_default_is_listed_once(space):
    assert [list(configs).count(DEFAULT) for configs in space().configs] == [1, 1]


def test_a_problem_without_configs_is_listed_and_is_no_error(space):
    found = space(constraints='["block > 2", "block <= rows"]')
    assert found.empty_problems == ({"dtype": "bf16", "rows": 2},)
    assert [len(configs) for configs in found.configs] == [0, 2]


def test_a_space_of_nothing_names_the_constraints_at_fault(complaint):
    error = complaint(constraints='["rows > 0", "block > 1", "block < 2"]')
    assert (error.line, error.key) == (6, "constraints[2]")
    assert "of 12 candidates 'block > 1' rejects 4, 'block < 2' rejects 8" in error.message
    assert "rows > 0" not in error.message


def test_a_constraint_that_cannot_be_evaluated_is_placed(complaint):
    error = complaint(constraints='["rows > 0", "rows // (block - 2) > 0"]')
    assert (error.line, error.key) == (6, "constraints[1]")
    assert "block=2, rows=2" in error.message


def test_millions_of_combinations_are_no_obstacle_where_few_are_allowed(space):
    values = {"block": list(range(2000)), "scale": [place / 8 for place in range(2000)]}
    found = space(
        space=json.dumps(values), constraints='["block % 1000 == 1", "scale * 8 == block", "block < rows"]'
    )
    assert [[config["block"] for config in configs] for configs in found.configs] == [[1], [1]]


@pytest.mark.parametrize(
    ("constraints", "told"), [("[]", "1000000"), ('["block * scale < 60000"]', "[0-9]{6}")]
)
def test_a_space_whose_configs_do_not_fit_is_refused_with_the_counts(complaint, constraints, told):
    values = {"block": list(range(1000)), "scale": [place / 8 for place in range(1000)]}
    with patch("workbench.sweep.space.build.MAX_CONFIGS", 50_000):
        error = complaint(space=json.dumps(values), constraints=constraints)
    assert re.search(f"leave {told} or more configs of 2 problems x 1000000 combinations", error.message)
    assert "at most 50000 are allowed" in error.message
    assert (error.line, error.key) == (5, "space")


def test_a_space_that_takes_too_long_to_enumerate_is_refused(complaint):
    with patch("workbench.sweep.space.build.MAX_EVALUATED", 100):
        error = complaint(
            space=json.dumps({"block": list(range(100)), "scale": [0.5, 0.25]}),
            constraints='["block * scale < 7"]',
        )
    assert "2 problems x 200 combinations of values need more than 100 evaluations" in error.message
    assert (error.line, error.key) == (5, "space")


def test_a_constraint_that_fails_everywhere_in_a_large_space_does_not_hold_it_up(complaint):
    with patch("workbench.sweep.space.predicates.MAX_SETTLED", 100):
        error = complaint(space=json.dumps({"block": list(range(200))}), constraints='["mode * block > 3"]')
    assert "cannot be evaluated, or has integers over 2**53" in error.message
    assert (error.line, error.key) == (6, "constraints[0]")


def test_more_problems_than_a_sweep_may_have_are_refused(complaint):
    with patch("workbench.sweep.space.build.MAX_PROBLEMS", 100):
        error = complaint(problems=json.dumps({"dtype": "bf16", "rows": list(range(1, 102))}))
    assert "these are 101 problems; at most 100 are allowed" in error.message
    assert (error.line, error.key) == (4, "problems")


def test_problems_that_no_constraint_tells_apart_share_one_table(space):
    first, second = space(constraints='["block > 1"]').configs
    assert first is second
    first, second = space(constraints='["block <= rows"]').configs
    assert len(first) < len(second)


def test_configs_are_made_one_by_one(space):
    values = {"block": list(range(1000)), "scale": [place / 8 for place in range(1000)]}
    found = space(space=json.dumps(values), constraints="[]")
    assert [len(configs) for configs in found.configs] == [1_000_000, 1_000_000]
    first = list(itertools.islice(found.configs[0], 2))
    assert [config["block"] for config in first] == [0, 0]
    assert found.configs[0].find({"block": 999, "mode": "fast", "scale": 0.5}) == 999_004


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    rows=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    blocks=st.lists(st.integers(-2, 9), min_size=1, max_size=4, unique=True),
    limit=st.integers(-2, 12),
)
def test_a_space_holds_exactly_what_the_constraints_allow(space, rows, blocks, limit):
    expected = [(row, block) for row in rows for block in blocks if block <= row and block < limit]
    keys = {
        "problems": json.dumps({"dtype": "bf16", "rows": rows}),
        "space": json.dumps({"block": blocks}),
        "constraints": json.dumps(["block <= rows", f"block < {limit}"]),
    }
    if not expected:
        with pytest.raises(InputError, match="no config is left"):
            space(**keys)
        return
    found = space(**keys)
    pairs = zip(found.problems, found.configs, strict=True)
    assert [
        (problem["rows"], config["block"]) for problem, configs in pairs for config in configs
    ] == expected
