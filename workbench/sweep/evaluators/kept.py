"""What a worker keeps of one problem, so that configs share it instead of each drawing it anew."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """What was made for the problem that is at work; nothing of the problem before it, whose memory this one needs."""

    def __init__(self) -> None:
        self._problem: object = None
        self._made: dict[Hashable, T] = {}

    def get(self, problem: object, key: Hashable, make: Callable[..., T], *arguments: Any) -> T:
        """What was made before under this key for this problem, else what is made now.

        Args:
            problem: what is at work; another one than before forgets all.
            key: within the problem.
            make: called where there is nothing yet.
            arguments: what it is called with.
        """
        if problem != self._problem:
            self._made.clear()
            self._problem = problem
        if key not in self._made:
            self._made[key] = make(*arguments)
        return self._made[key]
