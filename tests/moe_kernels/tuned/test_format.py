from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_kernels.tuned import EVIDENCE, Row, Run, TunedFile, TunedFileError, parse, serialise
from tests.moe_kernels.tuned.toys import a_file, a_row

finite = st.floats(1e-6, 1e9, allow_nan=False)
integers = st.integers(-(2**63) + 1, 2**63 - 1)
values = st.one_of(integers, st.floats(allow_nan=False, allow_infinity=False), st.text())
names = st.text(min_size=1, max_size=20)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), values), lambda inner: st.lists(inner) | st.dictionaries(names, inner)
)


def extras(known):
    return st.dictionaries(names.filter(lambda name: name not in known), plain, max_size=3)


TOP = {"schema", "kernel", "device", "device_name", "arch", "problem", "runs", "rows"}
TIMES = {"time_us", "ci_us", "default_time_us", "speedup"}
ROW = {"run", "config", "evidence", "kept_default", "measure", *TIMES}


@st.composite
def files(draw):
    text = st.text(max_size=20)
    run = st.builds(
        Run,
        source_hash=text,
        versions=st.dictionaries(names, text, max_size=3),
        date=text,
        extra=extras({"source_hash", "versions", "date"}),
    )
    runs = draw(st.dictionaries(names, run, min_size=1, max_size=3))
    row = st.builds(
        Row,
        run=st.sampled_from(sorted(runs)),
        config=st.dictionaries(names, values, max_size=4),
        evidence=st.sampled_from(EVIDENCE),
        time_us=finite,
        default_time_us=st.none() | finite,
        ci_us=st.none() | st.tuples(finite, finite).map(lambda ends: tuple(sorted(ends))),
        kept_default=st.booleans(),
        measure=st.dictionaries(names, plain, max_size=2),
        extra=extras(ROW),
    )
    rows = draw(st.dictionaries(st.integers(1, 2**31 - 1), row, max_size=4))
    problem = draw(st.dictionaries(names, st.integers(1, 2**31) | text, max_size=4))
    fields = {name: draw(text) for name in ("kernel", "device", "device_name", "arch")}
    return TunedFile(**fields, problem=problem, runs=runs, rows=rows, extra=draw(extras(TOP)))


@given(files())
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_back_and_written_the_same_again(file):
    text = serialise(file)
    assert parse(text) == file
    assert serialise(parse(text)) == text


@given(st.one_of(st.text(), plain.map(json.dumps)))
@settings(deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        parse(text)
    except TunedFileError as error:
        assert "\n" not in str(error).replace(text, "")


def test_rows_are_written_in_the_order_of_numbers_one_to_a_line():
    text = serialise(a_file({tokens: a_row() for tokens in (16, 1, 128, 2)}))
    assert list(json.loads(text)["rows"]) == ["1", "2", "16", "128"]
    assert sum('"time_us"' in line for line in text.splitlines()) == 4


def test_the_speed_up_is_the_defaults_time_over_the_rows():
    assert json.loads(serialise(a_file()))["rows"]["8"]["speedup"] == 1.5


def test_a_default_that_cannot_run_has_no_time_and_no_speed_up():
    file = a_file({8: a_row(default_time_us=None)})
    assert json.loads(serialise(file))["rows"]["8"]["speedup"] is None
    assert parse(serialise(file)) == file


def damaged(*path, value):
    content = json.loads(serialise(a_file()))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(content)


ROW_8 = ("rows", "8")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), "workbench.tuned/2", "schema: must be workbench.tuned/1, got 'workbench.tuned/2'"),
        (("schema",), KeyError, "schema: is missing"),
        (("rows",), [], "rows: must be an object, got an array"),
        (("rows", "8.5"), {}, "rows.8.5: must be a whole number from 1 to 2147483647"),
        (("rows", "08"), {}, "rows.08: must be a whole number"),
        (("rows", "\u0663"), {}, "must be a whole number"),
        (("rows", "99999999999"), {}, "rows.99999999999: must be a whole number"),
        (("rows", "9" * 5000), {}, "must be a whole number"),
        ((*ROW_8, "run"), "nobody", "rows.8.run: names 'nobody', which `runs` does not hold"),
        (
            (*ROW_8, "evidence"),
            "guessed",
            "rows.8.evidence: must be one of measured, modelled, replayed, got",
        ),
        ((*ROW_8, "evidence"), "none", "rows.8.evidence: must be one of measured, modelled, replayed, got"),
        ((*ROW_8, "time_us"), 0, "rows.8.time_us: must be a positive number, got 0"),
        ((*ROW_8, "time_us"), True, "rows.8.time_us: must be a number or a string, got true"),
        ((*ROW_8, "time_us"), "2", 'rows.8.time_us: must be a positive number, got "2"'),
        ((*ROW_8, "time_us"), math.nan, "holds NaN"),
        ((*ROW_8, "time_us"), math.inf, "holds Infinity"),
        ((*ROW_8, "ci_us"), [2, 1], "rows.8.ci_us: must be an interval"),
        ((*ROW_8, "ci_us"), [1], "rows.8.ci_us: must be an interval"),
        ((*ROW_8, "speedup"), 3.0, "rows.8.speedup: is 3.0, but default_time_us / time_us is 1.5"),
        ((*ROW_8, "speedup"), None, "rows.8.speedup: is None, but"),
        ((*ROW_8, "kept_default"), 0, "rows.8.kept_default: must be true or false, got 0"),
        ((*ROW_8, "config"), {"block": None}, "rows.8.config.block: must be a number or a string, got null"),
        ((*ROW_8, "config"), {"block": True}, "rows.8.config.block: must be a number or a string, got true"),
        ((*ROW_8, "config"), {"block": 10**19}, "holds 10000000000000000000"),
        ((*ROW_8, "config"), {f"p{n}": n for n in range(65)}, "rows.8.config: holds 65 entries; at most 64"),
        ((*ROW_8, "measure"), 1, "rows.8.measure: must be an object, got 1"),
        (("problem", "width"), -1, "problem.width: must be a positive integer or a string, got -1"),
        (
            ("runs", "0123456789abcdef", "versions"),
            {"triton": 3.9},
            "versions.triton: must be a string, got 3.9",
        ),
        (("runs",), None, "runs: must be an object, got null"),
    ],
)
def test_damage_is_named_by_its_key(path, value, message):
    with pytest.raises(TunedFileError) as caught:
        parse(damaged(*path, value=value))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: is not JSON"),
        ('{\n "schema": }', "line 2: is not JSON"),
        ('{"a": 1, "a": 2}', "a: appears twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1e999}', "holds 1e999"),
        ("9" * 5000, "holds 9999"),
        ("[]", "must be an object, got an array"),
        (" " * (8 * 1024 * 1024 + 1), "characters long"),
    ],
)
def test_what_is_no_object_is_named_by_its_line(text, message):
    with pytest.raises(TunedFileError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "row", [a_row(time_us=math.nan), a_row(run="nobody"), a_row(time_us=-1.0), a_row(extra={"run": "x"})]
)
def test_what_could_not_be_read_back_is_not_written(row):
    with pytest.raises(TunedFileError):
        serialise(a_file({8: row}))
