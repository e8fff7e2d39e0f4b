"""What a file that is written aside and renamed may take the place of."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def check_replaceable(path: Path) -> None:
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
