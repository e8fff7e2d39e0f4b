"""What B claims of its kernels: a fused arm that did not run the fused kernel is a failure, not a small difference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.compare.match import Pair
from workbench.timeline.patterns import shortened


@dataclass(frozen=True, slots=True)
class Claims:
    """Patterns, searched in kernel names.

    Attributes:
        must: each must be found.
        must_not: none may be found.
    """

    must: tuple[re.Pattern[str], ...] = ()
    must_not: tuple[re.Pattern[str], ...] = ()

    def check_applies(self, pairs: Sequence[Pair]) -> None:
        """Raises InputError where nothing that is compared knows its kernels."""
        if all(pair.b.kernels is None for pair in pairs):
            raise InputError(
                "only trace summaries and profiles know which kernels ran",
                key="--must" if self.must else "--must-not",
            )

    def broken_by(self, kernels: Mapping[str, float]) -> Iterator[str]:
        """What is claimed and not so, a line each.

        Args:
            kernels: launches a step, by name.
        """
        names = {shortened(name): launches for name, launches in kernels.items()}
        for pattern in self.must:
            if not any(launches > 0 and pattern.search(name) for name, launches in names.items()):
                yield f"no kernel matches {pattern.pattern!r}, which it must run"
        for pattern in self.must_not:
            if found := [name for name in names if pattern.search(name)]:
                yield f"{brief(found[0], 80)} matches {pattern.pattern!r}, which it must not run"


def make_claims(must: Sequence[str], must_not: Sequence[str]) -> Claims | None:
    """Claims from patterns; None without any.

    Raises:
        InputError: one is no regular expression.
    """
    claims = Claims(_patterns(must, "--must"), _patterns(must_not, "--must-not"))
    return claims if must or must_not else None


def _patterns(texts: Sequence[str], key: str) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(text, re.IGNORECASE) for text in texts)
    except re.error as error:
        raise InputError(f"is no regular expression: {error}", key=key) from error
