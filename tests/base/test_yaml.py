from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from workbench.base.errors import InputError
from workbench.base.validation import validate
from workbench.base.yaml import MAX_DEPTH, MAX_NODES, read_yaml

one_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    strategy: Literal["exhaustive", "random"] = "random"
    trials: int = Field(default=1, ge=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: str
    device: str | tuple[str, ...] = "auto"
    ratio: float = 0.5
    flag: bool = False
    search: Inner = Inner()
    many: tuple[Inner, ...] = ()


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return read_text


@pytest.fixture
def complaint(read):
    """The one error that a text gives, as (line, key, message)."""

    def of(text, model=Outer):
        with pytest.raises(InputError) as caught:
            validate(model, read(text))
        error = caught.value
        assert "\n" not in str(error) and str(error).startswith(str(error.file))
        return error.line, error.key, error.message

    return of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-2", 0.01),
        ("1.5", 1.5),
        ("0x10", 16),
        ("-0o17", -15),
        ("010", 10),
        ("+5", 5),
        ("9223372036854775807", 2**63 - 1),
        ("True", True),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("2001-01-01", "2001-01-01"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("~", None),
        ("<<", "<<"),
        ("!!timestamp 2001-01-01", "2001-01-01"),
        ("1_000", 1000),
        ("no", "no"),
        ('"\\u2028"', "\u2028"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_a_value_is_read_as_yaml_1_2_means_it(read, text, value):
    data = read(f"key: {text}").data["key"]
    assert (type(data), data) == (type(value), value)


def test_every_key_and_item_knows_its_line(read):
    source = read("# sweep\na: 1\nb:\n  c:\n    - 1\n    - 2\n")
    assert [source.line(path) for path in [("a",), ("b",), ("b", "c"), ("b", "c", 1)]] == [2, 3, 4, 6]


def test_the_line_of_what_is_missing_is_that_of_the_nearest_key_around_it(read):
    source = read("# sweep\na:\n  b: 1\n")
    assert source.line(("a", "x", "y")) == 2
    assert source.line(("x",)) == 2


def test_an_alias_is_the_value_of_its_anchor(read):
    assert read("a: &x [1, 2]\nb: *x").data == {"a": [1, 2], "b": [1, 2]}


def test_json_can_be_indented_with_tabs(read):
    assert read('{\n\t"a": [\n\t\t1,\t2\t],\n\t"b": 3}').data == {"a": [1, 2], "b": 3}


def test_an_anchor_can_be_given_anew(read):
    assert read("a: &x 1\nb: &x 2\nc: *x").data == {"a": 1, "b": 2, "c": 2}


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read(b"\xef\xbb\xbfname: a").data == {"name": "a"}


@pytest.mark.parametrize(
    ("text", "line", "key", "told"),
    [
        ("", None, None, "the file is empty"),
        ("# only a comment\n", None, None, "the file is empty"),
        ("- a\n", 1, "", "top level must be a mapping"),
        ("\nplain words", 2, "", "top level must be a mapping"),
        ("a: [1,\n", 2, "", "malformed YAML"),
        ("a: 1\n\tb: 2", 2, "", "malformed YAML"),
        ("a: 1\n---\nb: 2", 2, "", "malformed YAML"),
        ("a: 1\nb: *x", 2, "", "undefined alias"),
        ("a: 1\nb: \x01", 2, "", "U+0001"),
        ("a: 1\nb: x\u2028y", 2, "", "U+2028 must be written as an escape"),
        (b"a: 1\nb: \xff", 2, "", "not UTF-8"),
        ("a: 1\nb: 2\na: 3", 3, "a", "twice, first in line 1"),
        ("a:\n  b: 1\n  'b': 2", 3, "a.b", "twice, first in line 2"),
        ("a: !!python/object/apply:os.system [ls]", 1, "a", "!!python/object/apply:os.system is not allowed"),
        ("a: [!mine x]", 1, "a[0]", "!mine is not allowed"),
        ("a: .nan", 1, "a", "not a finite number"),
        ("a: -.inf", 1, "a", "not a finite number"),
        ("a: 1e400", 1, "a", "not a finite number"),
        ("a: 9223372036854775808", 1, "a", "not a 64-bit integer"),
        ("a: 1" + "0" * 5000, 1, "a", "not a 64-bit integer"),
        ("a: !!int x", 1, "a", "cannot be read"),
        ('a: "\\ud800"', 1, "a", "surrogate"),
        ('a:\n  "\\ud800": x', 2, "a", "surrogate"),
        ("a:\n  5: x", 2, "a", "key must be a string"),
        ("? [a]\n: b", 1, "", "key must be a string"),
        ("a: {x: 1}\nb:\n  <<: {y: 1}", 3, "b", "merge keys"),
        ("%YAML 1.1\n---\na: yes", 1, "", "only YAML 1.2"),
        ("&a {x: *a}", 1, None, "nested deeper"),
        ("[" * 5000, 1, None, "nested deeper"),
        ("a: [" + "x," * MAX_NODES + "]", 1, None, "more than 20000 values"),
        ("#" * (1 << 20) + "\n", None, None, "larger than 1048576 bytes"),
    ],
)
def test_what_is_no_plain_mapping_is_one_error(complaint, text, line, key, told):
    found_line, found_key, message = complaint(text)
    assert told in message
    assert found_line == line
    assert (found_key or "") == (key or "")


def test_aliases_of_aliases_are_bounded_after_expansion(complaint):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "aliases expanded" in complaint("\n".join(levels))[2]


def test_nesting_up_to_the_limit_is_read(read):
    assert read("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_a_path_that_is_no_readable_file_is_one_error(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path / name)


def test_a_file_without_end_is_not_read_to_it(tmp_path):
    endless = tmp_path / "endless.yaml"
    endless.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="larger than"):
        read_yaml(endless)


@pytest.mark.parametrize(
    ("text", "line", "key", "told"),
    [
        ("name: a\nserch: {}", 2, "serch", "unknown key (did you mean 'search'?); allowed: name, device"),
        ("name: a\nsearch:\n  trial: 1", 3, "search.trial", "allowed: strategy, trials"),
        ("name: a\nmany: [{}, {x: 1}]", 2, "many[1].x", "allowed: strategy, trials"),
        ("# c\nsearch: {}", 2, "name", "required and is missing"),
        ("name: 5", 1, "name", "must be a string, got 5 (an integer)"),
        ("name:", 1, "name", "must be a string, got nothing"),
        ("name: a\ndevice: 5", 2, "device", "must be a string or a list, got 5 (an integer)"),
        ("name: a\ndevice:\n- a\n- 5", 4, "device[1]", "must be a string, got 5 (an integer)"),
        ("name: a\nratio: half", 2, "ratio", 'must be a number, got "half" (a string)'),
        ("name: a\nratio: true", 2, "ratio", "must be a number, got true (a boolean)"),
        ("name: a\nflag: 1", 2, "flag", "must be true or false, got 1 (an integer)"),
        ("name: a\nsearch: []", 2, "search", "must be a mapping (key: value), got a list"),
        ("name: a\nsearch: {trials: true}", 2, "search.trials", "must be an integer, got true (a boolean)"),
        ("name: a\nsearch: {trials: 1.0}", 2, "search.trials", "must be an integer, got 1.0 (a number)"),
        ("name: a\nsearch: {trials: 0}", 2, "search.trials", "must be greater than or equal to 1, got 0"),
        ("name: a\nsearch: {strategy: rondom}", 2, "search.strategy", "'exhaustive' or 'random'"),
        ("name: a\nsearch: {strategy: rondom}", 2, "search.strategy", "did you mean 'random'"),
    ],
)
def test_a_complaint_says_where_what_and_what_is_allowed(complaint, text, line, key, told):
    found_line, found_key, message = complaint(text)
    assert told in message
    assert (found_line, found_key) == (line, key)


def test_the_first_of_many_complaints_is_told(complaint):
    assert complaint("flag: 1\nsearch: 2\nname: 3")[:2] == (1, "flag")


def test_a_list_is_taken_for_a_tuple_and_an_integer_for_a_number(read):
    model = validate(Outer, read("name: a\ndevice: [x, y]\nratio: 1"))
    assert (model.device, model.ratio) == (("x", "y"), 1.0)


def test_control_characters_of_a_file_never_reach_the_terminal(complaint):
    _, key, message = complaint('"\\e[31m": 1')
    assert f"{key}{message}".isprintable()


def test_an_error_message_stays_short(complaint):
    assert len(complaint("a: !" + "x" * 100_000 + " b")[2]) < 300


def test_reading_yaml_needs_no_torch(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    code = "import sys, workbench.base.yaml; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _reads_or_complains(read, content):
    try:
        assert isinstance(read(content).data, dict)
    except InputError as error:
        assert "\n" not in str(error)


@one_file
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(read, content):
    _reads_or_complains(read, content)


_ODD = [
    "a",
    "b: ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&x ",
    "*x",
    "!!int ",
    "!t ",
    "? ",
    "| ",
    "\n",
    "  ",
    "\t",
    "'",
]
_ODD += [
    '"',
    "\\U0011FFFF",
    "\\x",
    "%YAML 1.1\n",
    "%TAG ! x\n",
    "---\n",
    "...",
    "<<: ",
    "#",
    "0x",
    ".nan",
    "1e5",
]


@one_file
@given(parts=st.lists(st.sampled_from(_ODD), max_size=25))
def test_any_pieces_of_yaml_are_read_or_refused_in_one_line(read, parts):
    _reads_or_complains(read, "".join(parts))


_plain = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=8)
_plain |= st.floats(allow_nan=False, allow_infinity=False)
_tree = st.recursive(
    _plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)


@one_file
@given(data=st.dictionaries(st.text(max_size=8), _tree, min_size=1, max_size=4))
def test_json_is_yaml_and_comes_back_as_it_was(read, data):
    assert read(json.dumps(data)).data == data


@one_file
@given(data=st.dictionaries(st.sampled_from(list(Outer.model_fields)), _tree, min_size=1))
def test_a_model_takes_a_file_or_complains_in_one_line(read, data):
    source = read(json.dumps(data))
    try:
        validate(Outer, source)
    except InputError as error:
        assert error.line == 1
        assert error.key
