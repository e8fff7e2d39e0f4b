"""Whether `transformers` is here, and has a Gemma 4 with experts."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from workbench.errors import InputError

# The first release that the tests ran with.
OLDEST = (5, 23)


def check_installed() -> None:
    """Raises InputError, which says how to install it, unless `transformers` is here and new enough."""
    oldest = ".".join(map(str, OLDEST))
    advice = f"pip install 'transformers>={oldest}'"
    try:
        found = version("transformers")
    except PackageNotFoundError:
        raise InputError(f"the package transformers is not installed: {advice}") from None
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers < OLDEST:
        raise InputError(f"transformers {found} is too old, {oldest} or later is needed: {advice}")
