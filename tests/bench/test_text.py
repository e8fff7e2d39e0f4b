from __future__ import annotations

import json

import pytest

from workbench.base.errors import InputError
from workbench.bench.text import ByteTokenizer, open_tokenizer, random_windows, text_windows


def test_windows_follow_one_another(tmp_path):
    (tmp_path / "text.txt").write_text("abcdefgh")
    windows = text_windows(tmp_path / "text.txt", ByteTokenizer(), 2, 3, 256)
    assert windows.tolist() == [[97, 98, 99], [100, 101, 102]]


def test_a_short_text_makes_shorter_windows(tmp_path):
    (tmp_path / "text.txt").write_text("abcde")
    assert text_windows(tmp_path / "text.txt", ByteTokenizer(), 2, 100, 256).shape == (2, 2)


def test_ids_that_the_model_lacks_are_refused(tmp_path):
    (tmp_path / "text.txt").write_text("äöü" * 4)
    with pytest.raises(InputError, match="vocabulary ends at 127"):
        text_windows(tmp_path / "text.txt", ByteTokenizer(), 1, 8, 128)


def test_random_windows_are_those_of_their_seed():
    assert random_windows(2, 4, 512, 1).tolist() == random_windows(2, 4, 512, 1).tolist()
    assert random_windows(2, 4, 512, 1).tolist() != random_windows(2, 4, 512, 2).tolist()


def test_the_checkpoints_own_tokenizer_is_taken(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<bos>": 3, "a": 7, "b": 9}, unk_token="a"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    tokenizer = open_tokenizer(tmp_path, 512)
    assert (tokenizer.encode("a b a"), tokenizer.start) == ([7, 9, 7], 3)


def test_a_tokenizer_that_is_none_is_refused(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 3}))
    with pytest.raises(InputError, match=r"tokenizer.json: is no tokenizer"):
        open_tokenizer(tmp_path, 512)


def test_without_a_tokenizer_bytes_are_ids(tmp_path):
    assert open_tokenizer(tmp_path, 512).name == "bytes as ids"
    with pytest.raises(InputError, match="bytes need 256 ids"):
        open_tokenizer(None, 100)
