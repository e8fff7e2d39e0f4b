"""Fields of a quantisation config, with the key in every complaint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from workbench.models.gemma4.checkpoint_error import CheckpointError


@dataclass(frozen=True, slots=True)
class Fields:
    """An object in a config.

    Attributes:
        key: where in it the object is.
    """

    values: Mapping[str, Any]
    file: Path
    key: str

    def get(self, name: str, default: Any = None) -> Any:
        """A field's value, `default` where it is missing or null."""
        value = self.values.get(name)
        return default if value is None else value

    def fail(self, message: str, name: str = "") -> NoReturn:
        """Raises CheckpointError for a field, or for the object."""
        raise CheckpointError(message, file=self.file, key=self._key_of(name))

    def _key_of(self, name: str) -> str:
        return ".".join(part for part in (self.key, name) if part)

    def choose(self, name: str, allowed: Mapping[str, Any], note: str = "") -> Any:
        """What a field stands for, of the words that it may have."""
        word = self.get(name)
        if not isinstance(word, str) or word not in allowed:
            self.fail(f"must be one of {', '.join(allowed)}, got {word!r}{note}", name)
        return allowed[word]

    def boolean(self, name: str, default: bool) -> bool:
        """A truth value."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            self.fail(f"must be true or false, got {value!r}", name)
        return value

    def group_size(self) -> int | None:
        """`group_size`, a multiple of 8; None where it is -1 and means a whole row."""
        value = self.get("group_size")
        if value == -1:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0 or value % 8:
            self.fail(f"must be a positive multiple of 8, or -1, got {value!r}", "group_size")
        return value

    def inner(self, name: str) -> Fields | None:
        """An object in this one; None where it is missing or null."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.fail(f"must be an object, got {value!r}", name)
        return Fields(value, self.file, self._key_of(name))

    def words(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty where it is missing or null."""
        value = self.get(name, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self.fail(f"must be a list of strings, got {value!r}", name)
        return tuple(value)
