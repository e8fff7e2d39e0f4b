"""How much work there is and how much of it is done."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from workbench.trials.trial import Stage


class WorkCount:
    """How much work there is, how much of it is done, and which stage finished some last.

    Trials share compiles and verifications, so counting trials would tell a wrong time that is left.

    Args:
        changed: called, from any thread, after something was done.
    """

    def __init__(self, changed: Callable[[WorkCount], None]) -> None:
        self._changed = changed
        self.planned = self.done = 0
        self.stage = Stage.SPACE

    def watch(self, future: Future[Any], stage: Stage) -> Future[Any]:
        """Counts a future's end; it must have been planned."""
        future.add_done_callback(lambda _: self.finish(stage))
        return future

    def finish(self, stage: Stage) -> None:
        """Counts one piece of a stage's work as done."""
        self.stage = stage
        self.done += 1
        self._changed(self)
