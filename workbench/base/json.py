"""JSON whose form a type gives: decoded and checked at once, and one error where it has another."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from workbench.base.errors import InputError

T = TypeVar("T")


def decode(content: bytes, type_: type[T], file: Path, *, otherwise: str = "") -> T:
    """Decodes JSON into dataclasses, structs of msgspec, and what they hold.

    Args:
        content: of the file.
        type_: what it has to hold.
        file: for errors.
        otherwise: what a file of another form is, to begin the error with: `is no file of bench rows`.

    Raises:
        InputError: it is not JSON, or does not fit the type; names the key.
    """
    # Not above: the command line starts without msgspec.
    import msgspec

    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `")
        is_json = isinstance(error, msgspec.ValidationError)
        reason = f"{what[:1].lower()}{what[1:]}" if is_json else f"is not JSON: {what}"
        key = where.rstrip("`").removeprefix("$").lstrip(".") or None
        raise InputError(f"{otherwise}: {reason}" if otherwise else reason, file=file, key=key) from error
