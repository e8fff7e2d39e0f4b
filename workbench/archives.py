"""What reading an archive that is damaged, encrypted or cut off raises."""

from __future__ import annotations

import zipfile
import zlib
from lzma import LZMAError

# A RuntimeError names what zipfile cannot do, a ValueError what is wrong with its names and numbers.
DAMAGED_ARCHIVE = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, LZMAError)
