"""The bytes of a trace file, unpacked where they are gzip; what a damaged file still holds is kept."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from workbench.base.errors import InputError
from workbench.base.files import unreadable

MAX_BYTES = 4 << 30
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class TraceBytes:
    """The JSON text of a trace.

    Attributes:
        damage: why it is not all of the file; None where it is.
    """

    content: bytes
    damage: str | None = None


def read_unpacked(path: Path) -> TraceBytes:
    """Reads a `.json` or `.json.gz`; what it is decided by its first bytes, not by its name.

    Raises:
        InputError: the file cannot be read, is empty, or unpacks to more than `MAX_BYTES`.
    """
    try:
        packed = path.read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not packed:
        raise InputError("the file is empty; expected a torch.profiler trace (.json or .json.gz)", file=path)
    return _unpacked(packed, path) if packed.startswith(GZIP) else TraceBytes(packed)


def _unpacked(packed: bytes, path: Path) -> TraceBytes:
    parts: list[bytes] = []
    size = 0
    while packed.startswith(GZIP):
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        part, damage = _inflated(stream, packed, MAX_BYTES - size)
        parts.append(part)
        size += len(part)
        if size >= MAX_BYTES:
            raise InputError(f"unpacks to {MAX_BYTES >> 30} GiB or more; no such trace is read", file=path)
        if damage:
            return TraceBytes(b"".join(parts), damage)
        packed = stream.unused_data
    return TraceBytes(parts[0] if len(parts) == 1 else b"".join(parts))


def _inflated(stream: zlib._Decompress, packed: bytes, limit: int) -> tuple[bytes, str | None]:
    try:
        content = stream.decompress(packed, limit)
    except zlib.error:
        return _before_the_damage(packed, limit), "the gzip data are damaged"
    return content, None if stream.eof or len(content) >= limit else "the gzip data end early"


def _before_the_damage(packed: bytes, limit: int) -> bytes:
    """What comes before the first damaged block, unpacked in small pieces."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content = bytearray()
    for start in range(0, len(packed), 4096):
        try:
            content += stream.decompress(packed[start : start + 4096], limit)
        except zlib.error:
            break
    return bytes(content)
