from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.dashboard.axes import count_axis, linear_axis, log2_axis

POSITIVE = st.floats(1e-6, 1e9)


@given(st.lists(POSITIVE, min_size=1), st.booleans())
def test_every_value_and_tick_is_on_a_linear_axis(values, from_zero):
    axis = linear_axis(values, "us", from_zero=from_zero)
    places = [*values, *(tick for tick, _ in axis.ticks)]
    reach = 1e-9 * (axis.high - axis.low)
    assert all(axis.low - reach <= place <= axis.high + reach for place in places)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 9
    assert len({label for _, label in axis.ticks}) == len(axis.ticks)


@given(st.lists(POSITIVE, min_size=1))
def test_ticks_of_a_logarithmic_axis_are_values_that_occur(values):
    axis = log2_axis(values, "concurrency")
    assert {tick for tick, _ in axis.ticks} <= set(values)
    assert axis.low < min(values) <= max(values) < axis.high
    assert len(axis.ticks) <= 9


@pytest.mark.parametrize("most", [1, 2, 7, 100, 12_345])
def test_a_count_begins_at_one(most):
    axis = count_axis(most, "trials")
    assert axis.ticks[0] == (1, "1")
    assert all(1 <= tick <= most for tick, _ in axis.ticks)


def test_ticks_are_round_numbers():
    assert [label for _, label in linear_axis([0.31, 1.9], "us").ticks] == ["0.0", "0.5", "1.0", "1.5", "2.0"]
    assert [label for _, label in linear_axis([1200, 4800], "us").ticks][-2:] == ["4,000", "5,000"]
