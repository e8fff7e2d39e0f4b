"""Puts the entries of A and B side by side, and refuses those that must not be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.base.errors import IncomparableError, InputError
from workbench.base.text import brief
from workbench.compare.entry import Entry, differing
from workbench.compare.result_kinds import ResultKind

# Times that were not measured are never compared with those that were.
_NEVER_ALLOWED = frozenset({"evidence"})
_OF_KEY = ("device",)


@dataclass(frozen=True, slots=True)
class Pair:
    """An entry of A and the same one of B; the label says what they are of."""

    label: str
    a: Entry
    b: Entry

    @property
    def sound(self) -> bool:
        """Whether both sides ran and passed their checks."""
        return not any(side.failures or side.died for side in (self.a, self.b))


@dataclass(frozen=True, slots=True)
class Match:
    """All that both sides have of one kind.

    Attributes:
        pairs: in A's order.
        only_a: labels of what B lacks.
        only_b: labels of what A lacks.
        notes: how entries were matched, where that is not plain, and differences that were allowed.
    """

    kind: ResultKind
    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    notes: tuple[str, ...]


def match(
    kind: ResultKind,
    a: Sequence[Entry],
    b: Sequence[Entry],
    *,
    arms: tuple[str, str] | None = None,
    allow: Sequence[str] = (),
) -> Match:
    """Matches entries by their keys.

    Args:
        kind: of both.
        a: entries of A.
        b: entries of B.
        arms: compares this arm of A with this arm of B; else arms of one name, or the only arm of each.
        allow: facts that may differ, `versions` for all that begin so.

    Raises:
        IncomparableError: nothing is in common, or what is in common differs in a fact; names every such key.
        InputError: there is no such arm or fact.
    """
    _check_allowed(allow, (*a, *b))
    before, after, notes = _arms(a, b, arms) if kind.arms else (a, b, [])
    open_keys = [name for name in _OF_KEY if name in allow]
    left, right = _by_key(before, open_keys), _by_key(after, open_keys)
    labels = _labels([*left.values(), *right.values()], open_keys)
    pairs = [Pair(labels[key], left[key], right[key]) for key in left if key in right]
    if not pairs:
        raise _nothing_common(before, after)
    notes += _check_facts(pairs, allow)
    return Match(
        kind=kind,
        pairs=tuple(pairs),
        only_a=tuple(labels[key] for key in left if key not in right),
        only_b=tuple(labels[key] for key in right if key not in left),
        notes=tuple(notes),
    )


def _label(entry: Entry, names: Iterable[str]) -> str:
    """An entry in words, by these parts of its key."""
    parts = (f"{_SHORT.get(name, '')}{entry.key[name]}" for name in names if entry.key.get(name))
    return brief(" ".join(parts), 120) or "step"


_SHORT = {"tokens": "T=", "concurrency": "x", "request_rate": "rate ", "draft_tokens": "drafts "}

_Key = tuple[tuple[str, str], ...]


def _by_key(entries: Sequence[Entry], open_keys: Sequence[str]) -> dict[_Key, Entry]:
    found: dict[_Key, Entry] = {}
    for entry in entries:
        key = tuple((name, value) for name, value in entry.key.items() if name not in open_keys)
        if key in found:
            raise IncomparableError(
                f"there are several devices with {_label(entry, entry.key)!r} on one side"
            )
        found[key] = entry
    return found


def _labels(entries: Sequence[Entry], open_keys: Sequence[str]) -> dict[_Key, str]:
    """Labels of what varies, and of everything where nothing does."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.key))
    varying = [name for name in names if len({entry.key.get(name) for entry in entries}) > 1] or names
    return {
        tuple((name, value) for name, value in entry.key.items() if name not in open_keys): _label(
            entry, varying
        )
        for entry in entries
    }


def _arms(
    a: Sequence[Entry], b: Sequence[Entry], arms: tuple[str, str] | None
) -> tuple[Sequence[Entry], Sequence[Entry], list[str]]:
    """Entries of the arms to compare, those of B under the name of A's."""
    names = [list(dict.fromkeys(entry.key["arm"] for entry in side)) for side in (a, b)]
    if arms is None and (len(names[0]) > 1 or len(names[1]) > 1 or names[0] == names[1]):
        return a, b, []
    one, other = arms or (names[0][0], names[1][0])
    for arm, side, there in ((one, "A", names[0]), (other, "B", names[1])):
        if arm not in there:
            told = ", ".join(brief(name, 40) for name in there)
            raise InputError(f"{side} has no arm {brief(arm, 40)!r}; it has {told}", key="--arms")
    before = [entry for entry in a if entry.key["arm"] == one]
    after = [replace(entry, key={**entry.key, "arm": one}) for entry in b if entry.key["arm"] == other]
    notes = [] if one == other else [f"arm {brief(one, 40)} of A against arm {brief(other, 40)} of B"]
    return before, after, notes


def _check_allowed(allow: Sequence[str], entries: Sequence[Entry]) -> None:
    facts = dict.fromkeys(
        name for entry in entries for name in (*entry.facts, *_OF_KEY) if name not in _NEVER_ALLOWED
    )
    allowed = dict.fromkeys([*facts, *(name.partition(".")[0] for name in facts)])
    if unknown := [name for name in allow if name not in allowed]:
        raise InputError(f"no key {brief(unknown[0], 40)!r}; allowed: {', '.join(allowed)}", key="--allow")


def _nothing_common(a: Sequence[Entry], b: Sequence[Entry]) -> IncomparableError:
    """Says which parts of the keys have no value in common."""
    told = []
    for name in dict.fromkeys(name for entry in (*a, *b) for name in entry.key):
        values = [list(dict.fromkeys(entry.key.get(name, "") for entry in side)) for side in (a, b)]
        if not set(values[0]) & set(values[1]):
            told.append(f"{name}: {_some(values[0])} against {_some(values[1])}")
    return IncomparableError(
        f"A and B have no row in common, they differ in {'; '.join(told) or 'the combination of their keys'}"
    )


def _some(values: Sequence[str]) -> str:
    shown = ", ".join(brief(value, 60) or "unknown" for value in values[:3])
    return shown if len(values) <= 3 else f"{shown} and {len(values) - 3} more"


def _check_facts(pairs: Sequence[Pair], allow: Sequence[str]) -> list[str]:
    """Checks that facts agree; what was allowed to differ is noted."""
    found: dict[str, list[tuple[str, str]]] = {}
    for pair in pairs:
        for name, values in differing(pair.a, pair.b).items():
            found.setdefault(name, []).append(values)
    allowed = {name for name in found if name in allow or name.partition(".")[0] in allow}
    if refused := {name: values for name, values in found.items() if name not in allowed}:
        hint = "" if refused.keys() & _NEVER_ALLOWED else ". `--allow KEY` compares them all the same"
        raise IncomparableError(
            f"these cannot be compared, they differ in {'; '.join(_told(refused, len(pairs)))}{hint}"
        )
    return [f"allowed to differ: {line}" for line in _told(found, len(pairs))]


def _told(found: Mapping[str, Sequence[tuple[str, str]]], total: int) -> Iterator[str]:
    for name, values in found.items():
        one, other = values[0]
        where = "" if len(values) == total else f" ({len(values)} of {total} rows)"
        yield f"{brief(name, 60)}: {one} against {other}{where}"
