"""Whether `transformers` is here, and has a Gemma 4 with experts."""

from __future__ import annotations

import re

from workbench.base.errors import InputError

# The first release that the tests ran with.
OLDEST = (5, 23)
_SPELLED = ".".join(map(str, OLDEST))
_ADVICE = f"pip install 'transformers>={_SPELLED}'"


def check_installed() -> None:
    """Raises InputError, which says how to install it, unless `transformers` is here and new enough."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise InputError(f"transformers cannot be imported: {error}") from error
        raise InputError(f"the package transformers is not installed: {_ADVICE}") from None
    found = str(transformers.__version__)
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < OLDEST:
        raise InputError(f"transformers {found} is too old, {_SPELLED} or later is needed: {_ADVICE}")
