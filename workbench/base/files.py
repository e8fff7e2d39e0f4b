"""Files, read with a bound and written whole.

A reader of a written file sees the old content or the new, never a part: content goes to a file beside it, is flushed
to the disk, and is renamed.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from lzma import LZMAError
from pathlib import Path

from workbench.base.errors import InputError

# What reading an archive that is damaged, encrypted or cut off raises.
# A RuntimeError names what zipfile cannot do, a ValueError what is wrong with its names and numbers.
DAMAGED_ARCHIVE = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, LZMAError)


def read_bytes(path: Path, limit: int, *, packed: bool = False) -> bytes:
    """A file's content.

    Args:
        path: the file.
        limit: the most bytes that are read; a larger file is an error.
        packed: the file is gzip; the limit holds for what it unpacks to.

    Raises:
        InputError: the file cannot be read, is larger, or its gzip is damaged.
    """
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"truncated or damaged gzip ({error})", file=path) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if len(content) > limit:
        raise InputError(f"is larger than {limit} bytes, the most that is read", file=path)
    return content


def read_text(path: Path, limit: int) -> str:
    """A text file's content, without a byte order mark.

    Raises:
        InputError: the file cannot be read, is larger than `limit` bytes, or is not UTF-8.
    """
    return as_text(read_bytes(path, limit), path)


def as_text(content: bytes, path: Path) -> str:
    """The text that a file's content is.

    Raises:
        InputError: it is not UTF-8; names the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"is not UTF-8: byte 0x{error.object[error.start]:02x}", file=path, line=line
        ) from None


def unreadable(path: Path, error: OSError | ValueError) -> InputError:
    """The error to raise for a file that the system did not open or read."""
    return InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, and the folders above it where they are missing.

    Raises:
        InputError: it cannot be written, or is something that no file may replace: a folder, a device, a pipe.
    """
    if not path.name:
        raise InputError("cannot be written: is a folder", file=path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_aside(path, aside, content)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise InputError(f"cannot be written: {error.strerror or error}", file=path) from error


def write_together(contents: Mapping[Path, str]) -> None:
    """Writes several files: all of them, or none.

    Raises:
        InputError: one cannot be written; then no folder is left either that was not there.
    """
    aside = {path: path.with_name(f".{os.getpid()}.tmp-{number}") for number, path in enumerate(contents)}
    made: list[Path] = []
    current = Path()
    try:
        for current, content in contents.items():
            _make_folder(current.parent, made)
            _write_aside(current, aside[current], content)
        for current, written in aside.items():
            written.replace(current)
    except BaseException as error:
        _remove([*aside.values(), *reversed(made)])
        if isinstance(error, OSError):
            raise InputError(f"cannot be written: {error.strerror or error}", file=current) from error
        raise


def _write_aside(path: Path, aside: Path, content: str | bytes) -> None:
    _check_replaceable(path)
    with aside.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def _check_replaceable(path: Path) -> None:
    """Raises OSError where a rename would put a file in the place of a folder or, as root may, of a device."""
    try:
        # Asked once: another process may put a file there or take it away at any moment.
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is no regular file")


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Makes a folder and those above it; notes each that was not there."""
    if folder.is_dir():
        return
    if folder != folder.parent:
        _make_folder(folder.parent, made)
    folder.mkdir(exist_ok=True)
    made.append(folder)


def _remove(paths: Sequence[Path]) -> None:
    """Files, and folders where nothing else is in them by now."""
    for path in paths:
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
