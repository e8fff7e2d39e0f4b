"""The rules that say what a kernel is for, from the YAML file that ships and one of the user's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from workbench.timeline.patterns import MAX_PATTERN, check_pattern
from workbench.yaml_source import YamlSource, read_yaml, validate

KernelClass = Literal[
    "routing",
    "experts",
    "attention",
    "rope",
    "kv_cache",
    "gemm",
    "norm",
    "activation",
    "embedding",
    "elementwise",
    "reduction",
    "sort",
    "sampling",
    "copy",
    "communication",
    "optimizer",
    "other",
]
CLASSES: tuple[KernelClass, ...] = get_args(KernelClass)
SHIPPED = Path(__file__).with_name("rules.yaml")

Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN)]
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=200)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RuleModel(_Model):
    # Not `class`, which Python keeps for itself.
    kernel_class: KernelClass = Field(alias="class")
    match: Patterns
    priority: int = Field(default=0, ge=-1000, le=1000)


class _SequenceModel(_Model):
    kernel_class: KernelClass = Field(alias="class")
    needs: Patterns
    members: Patterns
    between: Patterns
    after_last: Patterns
    before: list[KernelClass]
    within: int = Field(ge=1, le=64)


class _RulesModel(_Model):
    names: list[_RuleModel] = []
    ops: list[_RuleModel] = []
    annotations: list[_RuleModel] = []
    sequences: list[_SequenceModel] = []


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
        before: classes of which the next kernel that is not generic must be.
        within: the most kernels from the last member to that one.
    """

    kernel_class: KernelClass
    needs: re.Pattern[str]
    members: re.Pattern[str]
    between: re.Pattern[str]
    after_last: re.Pattern[str]
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
    files = [read_yaml(path) for path in (extra, SHIPPED) if path]
    models = [_validated(source, trusted=source.file == SHIPPED) for source in files]
    return Rules(
        names=_rules([rule for model in models for rule in model.names]),
        ops=_rules([rule for model in models for rule in model.ops]),
        annotations=_rules([rule for model in models for rule in model.annotations]),
        sequences=tuple(_sequence(rule) for model in models for rule in model.sequences),
    )


def first_match(rules: Sequence[Rule], name: str) -> KernelClass | None:
    """The class of the first rule that matches a name."""
    return next((rule.kernel_class for rule in rules if rule.pattern.search(name)), None)


def _validated(source: YamlSource, *, trusted: bool) -> _RulesModel:
    model = validate(_RulesModel, source)
    if trusted:
        return model
    for kind, rules in source.data.items():
        for index, rule in enumerate(rules):
            for key, patterns in rule.items():
                if key in {"match", "needs", "members", "between", "after_last"}:
                    _check(source, patterns, (kind, index, key))
    return model


def _check(source: YamlSource, patterns: Sequence[str], at: tuple[str | int, ...]) -> None:
    for index, pattern in enumerate(patterns):
        if problem := check_pattern(pattern):
            raise source.error(problem, (*at, index))


def _rules(models: Sequence[_RuleModel]) -> tuple[Rule, ...]:
    ordered = sorted(models, key=lambda rule: -rule.priority)
    return tuple(Rule(rule.kernel_class, _compiled(rule.match)) for rule in ordered)


def _sequence(model: _SequenceModel) -> SequenceRule:
    return SequenceRule(
        kernel_class=model.kernel_class,
        needs=_compiled(model.needs),
        members=_compiled(model.members),
        between=_compiled(model.between),
        after_last=_compiled(model.after_last),
        before=frozenset(model.before),
        within=model.within,
    )


def _compiled(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
