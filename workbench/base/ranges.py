"""Named nvtx ranges, which Nsight Systems shows, where somebody asks for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ParamSpec, TypeVar

# Set to 1, it asks for ranges; in the environment, so that worker processes inherit it.
NVTX_VARIABLE = "WORKBENCH_NVTX"
DOMAIN = "workbench"

P = ParamSpec("P")
T = TypeVar("T")


def nvtx_asked() -> bool:
    """Whether somebody asks for ranges, by `--nvtx` or by `WORKBENCH_NVTX=1`."""
    return os.environ.get(NVTX_VARIABLE) == "1"


def nvtx_environment() -> dict[str, str]:
    """What a process elsewhere, which inherits nothing, needs in its environment."""
    return {NVTX_VARIABLE: "1"} if nvtx_asked() else {}


@contextmanager
def nvtx_ranges(asked: bool) -> Iterator[None]:
    """Within the context ranges are shown, here and in processes started from here; not asked, all stays as it is."""
    before = os.environ.get(NVTX_VARIABLE)
    if asked:
        os.environ[NVTX_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(NVTX_VARIABLE, None)
        else:
            os.environ[NVTX_VARIABLE] = before


def nvtx_range(name: str) -> AbstractContextManager[object]:
    """A range, asked for or not; it may be entered again, also within itself."""
    import nvtx

    shown: AbstractContextManager[object] = nvtx.annotate(name, domain=DOMAIN)
    return shown


def marked(name: str) -> AbstractContextManager[object]:
    """A range where ranges are asked for, else nothing."""
    return nvtx_range(name) if nvtx_asked() else nullcontext()


def in_range(name: str, function: Callable[P, T]) -> Callable[P, T]:
    """The function within a range; where nobody asks for ranges the function itself, so that a call costs nothing."""
    if not nvtx_asked():
        return function
    shown = nvtx_range(name)

    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with shown:
            return function(*args, **kwargs)

    return inside
