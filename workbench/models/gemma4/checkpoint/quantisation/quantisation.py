"""How a checkpoint says that it is quantised: rules that give modules a format."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

import regex

from moe_kernels.formats import WeightFormat
from workbench.models.gemma4.checkpoint.layouts import NATIVE, Layout
from workbench.models.gemma4.checkpoint_error import CheckpointError

# An expression that backtracks without end is part of a file like any other.
MATCH_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisationRule:
    """A format for some modules.

    Attributes:
        key: where the config says it.
        targets: names of modules or of their classes, regular expressions after `re:`, or wildcards.
        note: what the model does otherwise than the rule says, or empty.
    """

    key: str
    targets: tuple[str, ...]
    format: WeightFormat
    layout: Layout = NATIVE
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """A checkpoint's own account of its formats.

    Attributes:
        key: where in the file.
        rules: the first that names a module goes before one that names its class.
        ignored: modules that no rule is for; as `QuantisationRule.targets`.
        is_nested: whether a name means all modules inside, too. compressed-tensors' does not: where it has quantised
            a router's projection, it may list the router itself as ignored.
    """

    file: Path
    key: str
    rules: tuple[QuantisationRule, ...]
    ignored: tuple[str, ...] = ()
    is_nested: bool = False

    def rule_for(self, names: AbstractSet[str], classes: AbstractSet[str]) -> QuantisationRule | None:
        """The rule for a module that has these names, by itself or by one of its classes."""
        if self._any_means(self.ignored, names) or not classes.isdisjoint(self.ignored):
            return None
        by_name = (rule for rule in self.rules if self._any_means(rule.targets, names))
        by_class = (rule for rule in self.rules if not classes.isdisjoint(rule.targets))
        return next(chain(by_name, by_class), None)

    def _any_means(self, patterns: Sequence[str], names: AbstractSet[str]) -> bool:
        """Whether one of the patterns names the module; exact names first, since there may be hundreds."""
        if not names.isdisjoint(patterns):
            return True
        expressions = [pattern.removeprefix("re:") for pattern in patterns if pattern.startswith("re:")]
        if any(self._matches(expression, names) for expression in expressions):
            return True
        return self.is_nested and any(
            fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")
            for pattern in patterns
            for name in names
        )

    def _matches(self, expression: str, names: AbstractSet[str]) -> bool:
        try:
            return any(regex.match(expression, name, timeout=MATCH_S) for name in names)
        except regex.error as error:
            message = f"{'re:' + expression!r} is no regular expression: {error}"
        except TimeoutError:
            message = f"{'re:' + expression!r} must match a module's name within {MATCH_S:g} s"
        raise CheckpointError(message, file=self.file, key=self.key)
