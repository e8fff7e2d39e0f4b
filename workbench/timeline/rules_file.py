"""What a file of rules may hold; checked for a user's file, since the shipped one has a test instead."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from workbench.base.validation import validate
from workbench.base.yaml import YamlSource
from workbench.timeline.kernel_classes import KernelClass
from workbench.timeline.patterns import MAX_PATTERN, check_pattern

PATTERN_KEYS = frozenset({"match", "needs", "members", "between", "after_last"})
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN)]
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=200)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Rule(_Model):
    # Not `class`, which Python keeps for itself.
    kernel_class: KernelClass = Field(alias="class")
    match: Patterns
    priority: int = Field(default=0, ge=-1000, le=1000)


class _Sequence(_Model):
    kernel_class: KernelClass = Field(alias="class")
    needs: Patterns
    members: Patterns
    between: Patterns
    after_last: Patterns
    past: list[KernelClass] = []
    before: Annotated[list[KernelClass], Field(min_length=1)]
    within: int = Field(ge=1, le=64)


class _Rules(_Model):
    names: list[_Rule] = []
    ops: list[_Rule] = []
    annotations: list[_Rule] = []
    sequences: list[_Sequence] = []


def check_rules(source: YamlSource) -> None:
    """Checks a file of rules, its patterns too.

    Raises:
        InputError: a key, class or pattern is wrong, with file, line and key.
    """
    validate(_Rules, source)
    for kind, rules in source.data.items():
        for number, rule in enumerate(rules):
            for key in PATTERN_KEYS & rule.keys():
                for index, pattern in enumerate(rule[key]):
                    if problem := check_pattern(pattern):
                        raise source.error(problem, (kind, number, key, index))
