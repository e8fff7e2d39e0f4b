from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compare.sides import bench, summary, winners
from workbench.base.errors import IncomparableError, InputError, WorkbenchError
from workbench.compare.gate import compare


def test_results_of_two_kinds_differ_in_schema(tmp_path):
    told = "schema: workbench.tuned/1 against"
    with pytest.raises(IncomparableError, match=told):
        compare(winners(tmp_path / "a"), bench(tmp_path / "b.json"))


def test_a_newer_version_of_a_schema_differs_from_it(tmp_path):
    path = winners(tmp_path / "a")
    newer = tmp_path / "b.json"
    newer.write_text(path.read_text().replace("workbench.tuned/1", "workbench.tuned/2"))
    with pytest.raises(IncomparableError, match=r"schema: workbench\.tuned/1 against workbench\.tuned/2"):
        compare(path, newer)
    with pytest.raises(
        InputError, match=r"b\.json: schema: must be one of workbench.tuned/1, .*'workbench.tuned/2'"
    ):
        compare(newer, newer)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"schema": 3}', b"\xff\xfe", b"\x1f\x8b\x08", b"[" * 100_000]
)
def test_what_is_no_result_is_one_clear_error(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        compare(path, path)


@given(content=st.binary(max_size=200))
def test_no_bytes_at_all_crash_it(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(WorkbenchError):
        compare(path, path)


def test_a_folder_may_hold_other_json_but_nothing_damaged(tmp_path):
    path = winners(tmp_path)
    (tmp_path / "other.json").write_text('{"mine": 1}')
    (tmp_path / "list.json").write_text("[1]")
    assert not compare(tmp_path, path).failed
    (tmp_path / "half.json").write_text('{"schema": "workbench.tun')
    with pytest.raises(InputError, match=r"half\.json: is not JSON"):
        compare(tmp_path, path)


def test_a_folder_without_results_and_a_missing_file_are_errors(tmp_path):
    with pytest.raises(InputError, match="holds no file that can be compared"):
        compare(tmp_path, tmp_path)
    with pytest.raises(InputError, match=r"no\.json: cannot be read: No such file"):
        compare(tmp_path / "no.json", tmp_path / "no.json")


def test_a_folder_with_several_traces_is_ambiguous(tmp_path):
    summary(tmp_path / "1.json")
    summary(tmp_path / "2.json")
    with pytest.raises(InputError, match="holds several; name one of them"):
        compare(tmp_path, tmp_path)
