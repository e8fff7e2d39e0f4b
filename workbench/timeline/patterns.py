"""Bounds on regular expressions that a user writes, so that no kernel name can make one run for minutes.

Python's matcher backtracks: a repeat inside a repeat takes exponential time on a name made for it. Allowed is what
takes at most about `MAX_WAYS` ways through a name of `MAX_NAME` characters, for each place where a match can begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 400
MAX_NAME = 1024
MAX_WAYS = 20_000

_REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
_BACKWARD = {_constants.GROUPREF, _constants.GROUPREF_EXISTS}


class _RefusedError(ValueError):
    """A pattern that is well-formed but could take too long."""


def check_pattern(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    try:
        parsed = _parser.parse(pattern)
        if _ways(parsed) > MAX_WAYS:
            return "has too many repeats; bound them, as in .{0,40}, or use fewer"
    except re.error as error:
        return f"is no regular expression: {error}"
    except _RefusedError as error:
        return str(error)
    except (RecursionError, OverflowError):
        return "is nested too deeply"
    return None


def shortened(name: str) -> str:
    """The part of a name that is searched: all of it, or its head and tail."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 200]}{name[-200:]}"


def _ways(items: Iterable[Any]) -> int:
    """An upper bound on the ways through a sequence of parsed items, capped soon after `MAX_WAYS`."""
    ways = 1
    for operation, argument in items:
        ways = min(ways * _ways_of(operation, argument), 10 * MAX_WAYS)
    return ways


def _ways_of(operation: Any, argument: Any) -> int:
    if operation in _BACKWARD:
        raise _RefusedError("refers back to a group, which is not allowed")
    if operation in _REPEATS:
        return _ways_of_repeat(*argument)
    if operation is _constants.BRANCH:
        return sum(_ways(branch) for branch in argument[1])
    if operation is _constants.SUBPATTERN:
        return _ways(argument[-1])
    if operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
        return _ways(argument[1])
    return _ways(argument) if operation is _constants.ATOMIC_GROUP else 1


def _ways_of_repeat(least: int, most: int, items: Any) -> int:
    inner = _ways(items)
    if most > 1 and inner > 1:
        raise _RefusedError(
            "repeats something that itself repeats or has alternatives, which can take forever"
        )
    return (min(most, MAX_NAME) - least + 1) * inner if most > least else inner
