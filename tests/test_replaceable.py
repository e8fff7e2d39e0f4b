from __future__ import annotations

import os
import threading

import pytest

from workbench.replaceable import check_replaceable


def test_a_file_or_nothing_may_be_replaced(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file", "nothing", "file/below"):
        check_replaceable(tmp_path / name)


def test_a_folder_and_a_pipe_may_not(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        check_replaceable(tmp_path)
    with pytest.raises(OSError, match="no regular file"):
        check_replaceable(tmp_path / "pipe")


def test_a_file_that_comes_and_goes_is_a_file(tmp_path):
    path, done = tmp_path / "probe", threading.Event()

    def come_and_go():
        while not done.is_set():
            path.write_text("")
            path.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(5000):
            check_replaceable(path)
    finally:
        done.set()
        other.join()
