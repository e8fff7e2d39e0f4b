from __future__ import annotations

import os

import pytest

from workbench.errors import InputError
from workbench.integrations.whole_files import write_all


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_file_is_written_with_the_folders_above_it(tmp_path):
    write_all({tmp_path / "a" / "b" / "one": "1", tmp_path / "a" / "two": "2"})
    assert below(tmp_path) == ["a", "a/b", "a/b/one", "a/two"]


@pytest.mark.parametrize("place", ["pipe", "folder", "x" * 300, "file/below"])
def test_where_one_cannot_be_written_nothing_is_left_neither_files_nor_folders(tmp_path, place):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    before = below(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        write_all({tmp_path / "new" / "deep" / "one": "1", tmp_path / place: "2"})
    assert below(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_all({tmp_path / "new" / "one": "1"})
    assert below(tmp_path) == []
