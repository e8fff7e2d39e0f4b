"""What a file that is written aside and renamed may take the place of."""

from __future__ import annotations

import errno
from pathlib import Path


def check_replaceable(path: Path) -> None:
    """Raises OSError where a rename would put a file in the place of a folder or, as root may, of a device."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file")
