from __future__ import annotations

import gzip
import os
import threading

import pytest

from workbench.base.errors import InputError
from workbench.base.files import read_bytes, read_text, write_together, write_whole


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_written_file_takes_the_place_of_one_and_makes_the_folders_above(tmp_path):
    path = tmp_path / "new" / "file"
    for content in ("old", "new", b"bytes"):
        write_whole(path, content)
    assert path.read_bytes() == b"bytes"
    assert below(tmp_path) == ["new", "new/file"]


def test_a_folder_a_pipe_and_what_is_below_a_file_are_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("mine")
    before = below(tmp_path)
    for path, told in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is no regular file"),
        (tmp_path / "file" / "below", "cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ):
        with pytest.raises(InputError, match=told):
            write_whole(path, "text")
    assert below(tmp_path) == before


def test_a_file_that_another_process_puts_there_and_takes_away_is_a_file(tmp_path):
    path, done = tmp_path / "probe", threading.Event()

    def come_and_go():
        while not done.is_set():
            path.write_text("")
            path.unlink(missing_ok=True)

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(300):
            write_whole(path, "")
    finally:
        done.set()
        other.join()


def test_a_file_is_read_up_to_the_limit_and_refused_beyond_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(InputError, match="is larger than 4 bytes"):
        read_bytes(path, 4)


def test_the_limit_of_a_packed_file_is_of_what_it_unpacks_to(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    assert read_bytes(path, 1 << 20, packed=True) == bytes(1 << 20)
    with pytest.raises(InputError, match="is larger than 1000 bytes"):
        read_bytes(path, 1000, packed=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated or damaged gzip"):
        read_bytes(path, 1 << 20, packed=True)


def test_what_cannot_be_read_is_one_error(tmp_path):
    for path in (tmp_path, tmp_path / "missing", tmp_path / "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            read_bytes(path, 10)


def test_text_is_utf_8_and_an_error_names_the_line(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfa\nb")
    assert read_text(path, 10) == "a\nb"
    path.write_bytes(b"a\nb\xff")
    with pytest.raises(InputError, match=r"file:2: is not UTF-8: byte 0xff"):
        read_text(path, 10)


def test_every_file_is_written_with_the_folders_above_it(tmp_path):
    write_together({tmp_path / "a" / "b" / "one": "1", tmp_path / "a" / "two": "2"})
    assert below(tmp_path) == ["a", "a/b", "a/b/one", "a/two"]


@pytest.mark.parametrize("place", ["pipe", "folder", "x" * 300, "file/below"])
def test_where_one_cannot_be_written_nothing_is_left_neither_files_nor_folders(tmp_path, place):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    before = below(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        write_together({tmp_path / "new" / "deep" / "one": "1", tmp_path / place: "2"})
    assert below(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / "new" / "one": "1"})
    assert below(tmp_path) == []
