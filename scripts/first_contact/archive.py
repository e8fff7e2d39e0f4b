"""Packs what was measured into few files that any transfer takes, and unpacks them without trusting them.

From a borrowed machine come back at most eight files of 16 MiB, no more than two folders down, with plain names.
Winners lie three folders deep and have `=` and `,` in their names, so all of it travels in `measured-N.tar.gz`. Each is
an archive of its own: one that is lost or torn takes no other along.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

PART_BYTES = 15 * 2**20
MOST_PARTS = 6
MOST_UNPACKED_BYTES = 2 * 2**30
MANIFEST = "manifest.json"
SCHEMA = "workbench.measured/1"
# What can be made anew, or is of this machine only.
LEFT_AT_HOME = ("cache", "site")
# The small and dear ones first: they are in the first part whatever the others weigh.
FIRST_FOLDERS = ("results", "benchmarks")


class ArchiveError(Exception):
    """An archive that cannot be taken; says which and why."""


@dataclass(slots=True)
class Part:
    """Files that go into one archive together, each with its compressed size."""

    files: list[tuple[str, bytes]] = field(default_factory=list)
    size: int = 0

    def add(self, name: str, content: bytes, size: int) -> None:
        """Takes one file."""
        self.files.append((name, content))
        self.size += size


def pack(out: Path, to: Path, *, rehearsal: bool) -> tuple[Path, ...]:
    """Writes all that lies in an output folder into archives, each whole.

    Args:
        out: what the steps wrote.
        to: the folder of the archives.
        rehearsal: goes into the manifest, so that nobody takes simulated figures for measured ones.

    Returns:
        The archives.
    """
    parts, left_out = _parts(out)
    manifest = {"schema": SCHEMA, "rehearsal": rehearsal, "left_out": left_out}
    parts[0].files.insert(0, (MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode()))
    to.mkdir(parents=True, exist_ok=True)
    written = tuple(_write(part, to / f"measured-{number}.tar.gz") for number, part in enumerate(parts, 1))
    for stale in set(archives_in(to)) - set(written):
        stale.unlink()
    return written


def archives_in(folder: Path) -> tuple[Path, ...]:
    """The archives of a folder, the first part first."""
    return tuple(sorted(folder.glob("measured-*.tar.gz")))


def _parts(out: Path) -> tuple[list[Part], list[str]]:
    parts, left_out = [Part()], []
    for name, content in _files(out):
        size = len(zlib.compress(content, 1)) + 1024
        if size > PART_BYTES or (len(parts) == MOST_PARTS and parts[-1].size + size > PART_BYTES):
            left_out.append(name)
            continue
        if parts[-1].size + size > PART_BYTES:
            parts.append(Part())
        parts[-1].add(name, content, size)
    return parts, left_out


def _files(out: Path) -> Iterator[tuple[str, bytes]]:
    """Every file as it is now; one that a running step replaces meanwhile is read before or after, never in between."""
    paths = [path for path in out.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in sorted(paths, key=lambda path: _rank(path.relative_to(out))):
        name = path.relative_to(out)
        if (
            name.parts[0] in LEFT_AT_HOME
            or name.name.startswith("measured-")
            or name.suffix in (".tmp", ".lock")
        ):
            continue
        try:
            yield name.as_posix(), path.read_bytes()
        except FileNotFoundError:
            continue


def _rank(name: Path) -> tuple[int, str]:
    is_first = len(name.parts) == 1 or name.parts[0] in FIRST_FOLDERS
    return (0 if is_first else 1, name.as_posix())


def _write(part: Part, path: Path) -> Path:
    aside = path.with_name(path.name + ".tmp")
    with tarfile.open(aside, "w:gz") as archive:
        for name, content in part.files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return aside.replace(path)


def unpack(archives: Sequence[Path], into: Path) -> None:
    """Unpacks archives into a folder: regular files only, below it, and no more than 2 GiB.

    Raises:
        ArchiveError: one is damaged, or holds something else; nothing of that one is unpacked.
    """
    total = 0
    for path in archives:
        try:
            with tarfile.open(path, "r:gz") as archive:
                members = archive.getmembers()
                for member in members:
                    _check(member, path)
                total += sum(member.size for member in members)
                if total > MOST_UNPACKED_BYTES:
                    raise ArchiveError(f"{path}: holds over {MOST_UNPACKED_BYTES >> 30} GiB")
                archive.extractall(into, members, filter="data")
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise ArchiveError(f"{path}: cannot be unpacked: {error}") from error


def _check(member: tarfile.TarInfo, path: Path) -> None:
    name = PurePosixPath(member.name)
    if not member.isreg() or name.is_absolute() or ".." in name.parts:
        raise ArchiveError(f"{path}: holds {member.name!r:.80}, which is no plain file below the folder")


def read_manifest(folder: Path) -> dict[str, object]:
    """The manifest among unpacked files.

    Raises:
        ArchiveError: there is none that this version knows.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{MANIFEST}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ArchiveError(f"{MANIFEST}: its schema must be {SCHEMA!r}")
    return manifest
