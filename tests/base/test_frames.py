from __future__ import annotations

import pytest

from workbench.base.errors import InputError
from workbench.base.frames import frame_of


def group(*values):
    return frame_of([{"a": value} for value in values], {}, {"config": lambda record: record})["config_a"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((1, 2), "Int64"),
        ((1, None), "Int64"),
        ((1, 0.5), "float64"),
        ((True, None), "boolean"),
        (("x", None), "string"),
        ((True, 1), "string"),
        ((1, "x"), "string"),
        ((2**63, 1), "string"),
        ((None, None), "string"),
    ],
)
def test_a_column_has_the_kind_of_its_values(values, dtype):
    column = group(*values)
    assert column.dtype == dtype
    assert column.isna().tolist() == [value is None for value in values]


def test_whole_numbers_stay_exact():
    assert group(2**53 + 1, None).tolist()[0] == 2**53 + 1


def test_a_key_that_a_record_is_without_is_missing():
    frame = frame_of([{"a": 1}, {"b": 2}], {}, {"x": lambda record: record})
    assert frame.isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_no_records_are_no_rows_of_the_same_columns():
    frame = frame_of([], {"n": ("Int64", len), "t": ("float64", len)}, {"x": dict})
    assert (len(frame), frame.dtypes.astype(str).to_dict()) == (0, {"n": "Int64", "t": "float64"})


def test_a_value_of_another_kind_names_its_column():
    with pytest.raises(InputError, match="n: damaged"):
        frame_of(["x"], {"n": ("Int64", str)})
