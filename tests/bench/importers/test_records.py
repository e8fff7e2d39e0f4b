from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.bench.importers.records import read_records


@pytest.fixture
def file(tmp_path):
    def file(text):
        path = tmp_path / "result.json"
        path.write_text(text, encoding="utf-8")
        return path

    return file


def refusal(path):
    with pytest.raises(InputError) as error:
        read_records(path)
    assert str(error.value).startswith(str(path))
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}\n{"a": 2}\n',
        '{"a": 1}\n\n{"a": 2}',
        '[{"a": 1}, {"a": 2}]',
        '\n[\n {"a": 1},\n {"a": 2}\n]\n',
    ],
)
def test_records_come_one_after_the_other_or_as_a_list(file, text):
    assert [record.data for record in read_records(file(text))] == [{"a": 1}, {"a": 2}]


def test_an_error_points_at_the_line_of_the_key_in_a_file_that_is_indented(file):
    second = read_records(file(json.dumps([{"a": 1}, {"b": 1, "a": None}], indent=1)))[1]
    with pytest.raises(InputError) as error:
        second.number_at("a")
    assert (error.value.line, error.value.key) == (7, "record 2, a")


@pytest.mark.parametrize(
    "text, said",
    [
        ("", ": holds no result"),
        ("  \n", ": holds no result"),
        ("[]", ": holds no result"),
        ("{}", ":1: record 1 is empty"),
        ('{"a": 1}\n{"a": ', ":2: malformed JSON"),
        ('{"a": 1}\n7', ":2: record 2 must be a JSON object, got 7"),
        ("[null]", ":1: record 1 must be a JSON object, got null"),
        ('[{"a": 1}] {"a": 2}', ":1: malformed JSON: extra data"),
        ("[" * 100_000, ":1: malformed JSON: nested too deep"),
        ('{"a": ' + "9" * 5000 + "}", ":1: malformed JSON"),
    ],
)
def test_a_file_that_holds_no_records_is_refused(file, text, said):
    assert refusal(file(text)).startswith(said)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"\xff\xfe{}")
    assert "is not UTF-8" in refusal(path)
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    "value, got",
    [
        (None, "null"),
        ("12.5", '"12.5" (a string)'),
        (True, "true (a boolean)"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (-1.0, "-1"),
        ([1.0], "a list"),
        (1e308, "1e+308"),
        (10**400, "inf"),
    ],
)
def test_what_is_no_finite_number_is_refused(file, value, got):
    (record,) = read_records(file(json.dumps({"x": value})))
    with pytest.raises(InputError, match=r"must be a finite number, 0 or more") as error:
        record.number_at("x")
    assert error.value.message.endswith(f"got {got}")


def test_a_number_that_is_missing_is_named(file):
    (record,) = read_records(file('{"y": 1}'))
    with pytest.raises(InputError, match="x: is missing; it must be a number from 0 to 1"):
        record.number_at("x", at_most=1)


@given(
    st.text()
    | st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner)).map(json.dumps)
)
def test_any_text_is_read_or_refused_with_the_files_name(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read_records(path)
    except InputError as error:
        assert error.file == path
