"""Tokens to compare arms on: of a text, or random ones; and the tokenizer that belongs to a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.base.errors import InputError
from workbench.base.files import unreadable

if TYPE_CHECKING:
    from torch import Tensor

INSTALL = "pip install 'moe-workbench[quality]'"
MAX_BYTES = 1 << 26


class Tokenizer(Protocol):
    """Turns text into ids."""

    name: str
    start: int

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without anything added."""
        ...


class ByteTokenizer:
    """UTF-8 bytes as ids, for models that have no tokenizer; what such a model finds likely means nothing."""

    name = "bytes as ids"
    start = 0

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(text.encode())


class FileTokenizer:
    """The tokenizer in `tokenizer.json`.

    Args:
        path: the file.

    Raises:
        InputError: the library that reads it is missing, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer as Reader
        except ImportError as error:
            raise InputError(f"reading it needs the library tokenizers: {INSTALL}", file=path) from error
        try:
            self._reader: Any = Reader.from_file(str(path))
        except Exception as error:
            raise InputError(f"is no tokenizer: {error}", file=path) from error
        self.name = "the checkpoint's tokenizer"
        self.start = next(
            (
                found
                for token in ("<bos>", "<eos>", "<s>")
                if (found := self._reader.token_to_id(token)) is not None
            ),
            0,
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids: list[int] = self._reader.encode(text, add_special_tokens=False).ids
        return ids


def open_tokenizer(checkpoint: Path | None, vocab_size: int) -> Tokenizer:
    """The tokenizer of a checkpoint, else bytes.

    Raises:
        InputError: it cannot be read, or the model has fewer ids than there are bytes.
    """
    path = checkpoint / "tokenizer.json" if checkpoint else None
    if path is not None and path.is_file():
        return FileTokenizer(path)
    if vocab_size < 256:
        raise InputError(f"bytes need 256 ids, the model has {vocab_size}", key="--model")
    return ByteTokenizer()


def text_windows(path: Path, tokenizer: Tokenizer, batch: int, length: int, vocab_size: int) -> Tensor:
    """The beginning of a text as int64 [B, S] windows that follow one another; S is less where the text is short.

    Raises:
        InputError: the file cannot be read, is no UTF-8, too short, or has ids that the model lacks.
    """
    import torch

    ids = tokenizer.encode(_read(path))[: batch * length]
    if len(ids) < 2 * batch:
        raise InputError(f"holds {len(ids)} tokens; {batch} windows need at least {2 * batch}", file=path)
    _check_vocabulary(path, ids, vocab_size)
    width = len(ids) // batch
    return torch.tensor(ids[: batch * width]).view(batch, width)


def random_windows(batch: int, length: int, vocab_size: int, seed: int) -> Tensor:
    """Random ids, int64 [B, S]."""
    import torch

    return torch.randint(vocab_size, (batch, length), generator=torch.Generator().manual_seed(seed))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return content[:MAX_BYTES].decode(errors="strict" if len(content) <= MAX_BYTES else "ignore")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error.reason} at byte {error.start}", file=path) from error


def _check_vocabulary(path: Path, ids: Sequence[int], vocab_size: int) -> None:
    if max(ids) >= vocab_size:
        raise InputError(
            f"has the token {max(ids)}, the model's vocabulary ends at {vocab_size - 1}", file=path
        )
