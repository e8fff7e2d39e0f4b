"""What turns candidates into trials, and how those that wait for one another advance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

from workbench.search.strategy import Known
from workbench.trials.trial import Candidate, Trial


class Evaluator(Protocol):
    """Turns candidates of one problem into trials."""

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Starts whatever can run ahead, of any number of problems."""
        ...

    def known(self, candidate: Candidate) -> Known | None:
        """What is known of a prepared candidate before it is timed, None where nothing is yet."""
        ...

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """The trials of candidates as they become known; those that came about together, together.

        Args:
            candidates: of one problem.
            known: what is known of the same problem already.
        """
        ...


def advance_all(
    candidates: Sequence[Candidate], advance: Callable[[Candidate], Trial | Future[Any]]
) -> Iterator[Trial]:
    """Advances candidates until each is a trial, whichever is ready first.

    Args:
        candidates: where to start.
        advance: takes a candidate as far as it can: to its trial, or to a future to wait for.
    """
    ready, waiting = list(candidates), dict[Future[Any], list[Candidate]]()
    while ready or waiting:
        for candidate in ready:
            step = advance(candidate)
            if isinstance(step, Trial):
                yield step
            else:
                waiting.setdefault(step, []).append(candidate)
        done, _ = wait(waiting, return_when=FIRST_COMPLETED) if waiting else (set(), set())
        ready = [candidate for future in done for candidate in waiting.pop(future)]
