from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from workbench.base.errors import InputError
from workbench.base.json import decode

FILE = Path("a.json")


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    times: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    rows: tuple[Row, ...]


def test_json_of_the_form_is_what_the_type_says():
    assert decode(b'{"rows": [{"name": "a", "times": [1]}]}', Rows, FILE) == Rows((Row("a", (1.0,)),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"rows": [{"name": "a", "times": ["x"]}]}', "rows[0].times[0]: expected `float`, got `str`"),
        (b"{}", "object missing required field `rows`"),
        (b"[]", "expected `object`, got `array`"),
        (b"", "is not JSON: Input data was truncated"),
        (b'{"x": ' + b"[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
        (b'{"rows": [{"name": "\xff"}]}', "is not JSON: "),
    ],
)
def test_what_has_another_form_is_one_error_with_file_and_key(content, said):
    with pytest.raises(InputError) as error:
        decode(content, Rows, FILE)
    assert str(error.value).startswith(f"a.json: {said}")


def test_an_error_begins_with_what_the_file_is_otherwise():
    with pytest.raises(InputError, match=r"^a\.json: rows: is no list of rows: expected `array`"):
        decode(b'{"rows": 3}', Rows, FILE, otherwise="is no list of rows")
