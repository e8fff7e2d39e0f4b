from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integrations.results_for_experts import CONFIG
from workbench.base.errors import InputError
from workbench.integrations.raw_tables import MAX_BYTES, read_tables

NAME = "E=128,N=704,device_name=NVIDIA_H200.json"
OTHER = NAME.replace("704", "352")
TEXT = json.dumps({"1": CONFIG})
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


@pytest.fixture
def wheel(tmp_path):
    """A wheel of two tables; the function changes its bytes."""

    def wheel(change=bytes, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "engine.whl"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr(NAME, TEXT)
            archive.writestr(OTHER, TEXT)
        path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return wheel


def first_entry(content, header, offset, value):
    """Sets a byte of the first entry's header."""
    content[content.index(header) + offset] = value
    return content


def garbled(content):
    start = content.index(NAME.encode()) + len(NAME)
    content[start : start + 24] = b"\xff" * 24
    return content


def encrypted(content):
    return first_entry(first_entry(content, LOCAL, 6, 1), CENTRAL, 8, 1)


def of_an_unknown_method(content):
    return first_entry(first_entry(content, LOCAL, 8, 97), CENTRAL, 10, 97)


def of_another_size(content):
    return first_entry(content, CENTRAL, 16, 77)


@pytest.mark.parametrize("damage", [garbled, encrypted, of_an_unknown_method, of_another_size])
def test_of_a_wheel_a_damaged_table_is_named_and_the_others_are_read(wheel, damage):
    by_name = {table.name: table for table in read_tables(wheel(damage))}
    assert by_name[OTHER].content == {"1": CONFIG}
    assert by_name[NAME].content is None
    assert by_name[NAME].problem.startswith("cannot be unpacked: ")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_read_and_their_damage_is_named(wheel, compression):
    assert all(table.content for table in read_tables(wheel(compression=compression)))
    problems = [table.problem for table in read_tables(wheel(garbled, compression))]
    assert any(problem.startswith("cannot be unpacked: ") for problem in problems)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_no_damage_to_a_wheel_raises_anything_but_an_error_of_ours(wheel, places):
    def damage(content):
        for place, value in places:
            content[place % len(content)] = value
        return content

    try:
        tables = read_tables(wheel(damage))
    except InputError as error:
        assert len(str(error)) < 400
    else:
        assert all(table.problem or table.content is not None for table in tables)


def test_a_cut_off_wheel_is_one_line(wheel):
    with pytest.raises(InputError, match=r"engine\.whl: is no wheel: "):
        read_tables(wheel(lambda content: content[: len(content) // 2]))


def test_a_table_of_any_length_takes_no_more_memory_than_a_real_one(tmp_path):
    path = tmp_path / NAME
    with path.open("wb") as file:
        file.truncate(2**40)
    (table,) = read_tables(path)
    assert table.problem == f"is larger than {MAX_BYTES} bytes, the most that is read"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read")
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path):
    (tmp_path / NAME).symlink_to("/proc/self/mem")
    (tmp_path / OTHER).write_text(TEXT)
    problems = {table.name: table.problem for table in read_tables(tmp_path)}
    assert problems[OTHER] == ""
    assert problems[NAME].startswith("cannot be read: ")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "loop", "pipe", "pipe.whl"])
def test_what_is_no_file_is_an_error(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.whl")
    with pytest.raises(InputError, match="is no file, folder or wheel"):
        read_tables(tmp_path / name)


def test_a_folder_s_pipes_and_folders_are_no_tables(tmp_path):
    os.mkfifo(tmp_path / NAME)
    (tmp_path / NAME.replace("704", "1")).mkdir()
    (tmp_path / OTHER).write_text(TEXT)
    assert [table.name for table in read_tables(tmp_path)] == [OTHER]
