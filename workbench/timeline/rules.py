"""The rules that say what a kernel is for, from the YAML file that ships and one of the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.yaml import read_yaml
from workbench.timeline.kernel_classes import KernelClass

SHIPPED = Path(__file__).with_name("rules.yaml")


@dataclass(frozen=True, slots=True)
class Rule:
    """Names that match are of the class."""

    kernel_class: KernelClass
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class SequenceRule:
    """A run of generic kernels that is of the class for what it holds and what follows.

    Attributes:
        kernel_class: what its members become.
        needs: one of the members must match.
        members: where the run begins and ends.
        between: what may stand between members.
        after_last: what still belongs to it directly after the last member, at most two kernels.
        past: classes that may stand between the run and what it belongs to.
        before: classes of which the next kernel must be that is not of `past`.
        within: the most kernels from the last member to that one.
    """

    kernel_class: KernelClass
    needs: re.Pattern[str]
    members: re.Pattern[str]
    between: re.Pattern[str]
    after_last: re.Pattern[str]
    past: frozenset[KernelClass]
    before: frozenset[KernelClass]
    within: int


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, those of one kind in the order in which they are tried."""

    names: tuple[Rule, ...]
    ops: tuple[Rule, ...]
    annotations: tuple[Rule, ...]
    sequences: tuple[SequenceRule, ...]


def load_rules(extra: Path | None = None) -> Rules:
    """The shipped rules, after those of a file of the user's where there is one.

    Raises:
        InputError: a key, class or pattern of the file is wrong, with file, line and key.
    """
    files = [read_yaml(SHIPPED).data]
    if extra:
        from workbench.timeline.rules_file import check_rules

        source = read_yaml(extra)
        check_rules(source)
        files.insert(0, source.data)
    return Rules(
        names=_rules(files, "names"),
        ops=_rules(files, "ops"),
        annotations=_rules(files, "annotations"),
        sequences=tuple(_sequence(rule) for file in files for rule in file.get("sequences", ())),
    )


def first_match(rules: Sequence[Rule], name: str) -> KernelClass | None:
    """The class of the first rule that matches a name."""
    return next((rule.kernel_class for rule in rules if rule.pattern.search(name)), None)


def _rules(files: Sequence[Mapping[str, Any]], kind: str) -> tuple[Rule, ...]:
    """The rules of one kind by priority, else in the order of the files."""
    found = [rule for file in files for rule in file.get(kind, ())]
    ordered = sorted(found, key=lambda rule: -rule.get("priority", 0))
    return tuple(Rule(rule["class"], _compiled(rule["match"])) for rule in ordered)


def _sequence(rule: Mapping[str, Any]) -> SequenceRule:
    return SequenceRule(
        kernel_class=rule["class"],
        needs=_compiled(rule["needs"]),
        members=_compiled(rule["members"]),
        between=_compiled(rule["between"]),
        after_last=_compiled(rule["after_last"]),
        past=frozenset(rule.get("past", ())),
        before=frozenset(rule["before"]),
        within=rule["within"],
    )


def _compiled(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
