from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.trials.config_table import ConfigTable

LEVELS = {"mode": ("fast", "slow"), "block": (4, 2, 1), "scale": (0.5,)}
ORDER = ("block", "mode")
PRODUCT = [
    {"mode": mode, "block": block, "scale": 0.5} for block in LEVELS["block"] for mode in LEVELS["mode"]
]


def test_a_key_is_the_place_of_a_config_in_the_product():
    assert list(ConfigTable.of_keys(LEVELS, np.arange(6), ORDER)) == PRODUCT
    assert list(ConfigTable.of_keys(LEVELS, np.array([1, 5]), ORDER)) == [PRODUCT[1], PRODUCT[5]]


def test_a_table_without_configs_is_empty():
    table = ConfigTable.of_keys(LEVELS, np.zeros(0, np.int64), ORDER)
    assert (len(table), list(table), table.find(PRODUCT[0])) == (0, [], None)


def test_many_keys_are_decoded_in_portions():
    levels = {name: tuple(range(50)) for name in "abc"}
    table = ConfigTable.of_keys(levels, np.arange(50**3, dtype=np.uint32), "abc")
    expected = np.array(list(itertools.product(range(50), repeat=3)))
    assert np.array_equal(table.codes, expected)


@given(keys=st.sets(st.integers(0, 5)), start=st.integers(0, 3), step=st.sampled_from([1, 2, -1]))
def test_every_config_is_found_in_its_row_and_no_other(keys, start, step):
    table = ConfigTable.of_keys(LEVELS, np.array(sorted(keys), dtype=np.int64), ORDER)[start::step]
    assert [table.find(config) for config in table] == list(range(len(table)))
    held = list(table)
    assert [config in table for config in PRODUCT] == [config in held for config in PRODUCT]


@pytest.mark.parametrize(
    "config", [{"mode": "fast", "block": 4}, {**PRODUCT[0], "block": 3}, {**PRODUCT[0], "scale": 1.0}, {}]
)
def test_a_config_with_other_names_or_values_is_not_in_a_table(config):
    assert ConfigTable.of_keys(LEVELS, np.arange(6), ORDER).find(config) is None
    assert ConfigTable.of(tuple(LEVELS), PRODUCT).find(config) is None
