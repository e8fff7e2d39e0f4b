"""How a checkpoint says that it is quantised: rules that give modules a format."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from moe_kernels.formats import WeightFormat
from workbench.models.gemma4.checkpoint.layouts import NATIVE, Layout
from workbench.models.gemma4.checkpoint_error import CheckpointError

_CLASS = re.compile(r"[A-Z]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A format for some modules.

    Attributes:
        key: where the config says it.
        targets: names of modules or of their classes, regular expressions after `re:`, or wildcards.
        format: of their weights.
        layout: of the tensors.
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
        file: that says it.
        key: where in the file.
        rules: the first that names a module goes before one that names its class.
        ignored: modules that no rule is for; as `Rule.targets`.
        is_nested: whether a name means all modules inside, too. compressed-tensors' does not: where it has quantised
            a router's projection, it may list the router itself as ignored.
    """

    file: Path
    key: str
    rules: tuple[Rule, ...]
    ignored: tuple[str, ...] = ()
    is_nested: bool = False

    def rule_for(self, names: Collection[str], classes: Collection[str]) -> Rule | None:
        """The rule for a module that has these names, by itself or by one of its classes."""
        if any(self._names(pattern, names) or pattern in classes for pattern in self.ignored):
            return None
        for rule in self.rules:
            if any(self._names(pattern, names) for pattern in rule.targets):
                return rule
        return next((rule for rule in self.rules if set(rule.targets) & set(classes)), None)

    def _names(self, pattern: str, names: Collection[str]) -> bool:
        if pattern.startswith("re:"):
            try:
                return any(re.match(pattern.removeprefix("re:"), name) for name in names)
            except re.error as error:
                message = f"{pattern!r} is no regular expression: {error}"
                raise CheckpointError(message, file=self.file, key=self.key) from None
        if _CLASS.fullmatch(pattern):
            return False
        if not self.is_nested:
            return pattern in names
        return any(fnmatchcase(name, pattern) or name.startswith(f"{pattern}.") for name in names)
