"""One BLAS thread: matrices here are small, and threads that wait for each other cost more than they save."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import scipy.linalg
from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """Within it, linear algebra of this process runs on one thread."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> ThreadpoolController:
    # What is loaded by now is what it controls.
    assert scipy.linalg
    return ThreadpoolController()
