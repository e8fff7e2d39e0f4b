"""YAML files as plain data that remembers its lines, and pydantic's complaints about it as one clear error.

A file is only ever parsed into nodes: no tag constructs anything, so nothing in a file is executed.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, NodeEvent
from ruamel.yaml.reader import ReaderError

from workbench._complaints import KeyPath, complaints, shown, suggestion
from workbench.errors import InputError

__all__ = ["KeyPath", "YamlSource", "brief", "dotted", "read_yaml", "shown", "suggestion", "validate"]

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_INTEGER = (1 << 63) - 1
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class YamlSource:
    """One YAML file as plain data.

    Attributes:
        file: where it was read from.
        data: its top-level mapping in dict, list, str, int, float, bool and None.
        lines: the line of every key and list item, by key path.
    """

    file: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(repr=False)

    def line(self, key_path: KeyPath) -> int | None:
        """The line of a key or list item, or of the nearest key that encloses it."""
        for length in range(len(key_path), -1, -1):
            if (line := self.lines.get(key_path[:length])) is not None:
                return line
        return None

    def error(self, message: str, key_path: KeyPath = ()) -> InputError:
        """An error about one key of this file, to be raised by the caller."""
        return InputError(message, file=self.file, line=self.line(key_path), key=dotted(key_path))


def dotted(key_path: KeyPath) -> str:
    """A key path as errors show it, for example `problems.tokens[2]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in key_path)
    return brief("".join(parts).removeprefix("."), 120)


def brief(text: str, length: int) -> str:
    """Text from a file, which may hold anything, as it can stand in one line of a terminal."""
    printable = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:length])
    return printable if len(text) <= length else f"{printable}..."


def read_yaml(path: Path) -> YamlSource:
    """Reads a YAML 1.2 file whose top level is a mapping.

    Raises:
        InputError: the file cannot be read, is not UTF-8 or not YAML, repeats a key, carries a tag, or is far
            larger or deeper than a file written by hand.
    """
    text = _read_text(path)
    with _one_error(path, text):
        _check_events(path, text)
        root = _parser().compose(text)
    if root is None:
        raise InputError("the file is empty; expected a mapping (key: value)", file=path)
    reader = _Reader(path)
    data = reader.plain(root, ())
    if not isinstance(data, dict):
        what = f"the top level must be a mapping (key: value), got {shown(data)}"
        raise InputError(what, file=path, line=root.start_mark.line + 1)
    return YamlSource(path, data, reader.lines)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", file=path) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES} bytes, the most that is read", file=path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"is not UTF-8: byte 0x{content[error.start]:02x}", file=path, line=line) from None


def _parser() -> YAML:
    return YAML(typ="safe", pure=True)


@contextmanager
def _one_error(path: Path, text: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else None
        raise InputError(f"malformed YAML: {brief(what, 200)}", file=path, line=line) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character U+{error.character:04X} is not allowed in YAML"
        raise InputError(what, file=path, line=line) from None
    except Exception as error:
        # ruamel leaks built-in errors on odd input, for example OverflowError for the escape "\UFFFFFFFF".
        what = brief(str(error), 200) or type(error).__name__
        raise InputError(f"malformed YAML: {what}", file=path) from None


def _check_events(path: Path, text: str) -> None:
    """Bounds nodes and nesting before the composer, which recurses, sees the file."""
    nodes = depth = 0
    for event in _parser().parse(text):
        nodes += isinstance(event, NodeEvent)
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        line = event.start_mark.line + 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _too_much(path, line, nodes)
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            raise InputError("only YAML 1.2 is read; leave the %YAML directive out", file=path, line=line)


def _too_much(path: Path, line: int, nodes: int) -> InputError:
    limit = f"more than {MAX_NODES} values" if nodes > MAX_NODES else f"nested deeper than {MAX_DEPTH} levels"
    return InputError(f"{limit}, aliases expanded; no such file is read", file=path, line=line)


class _Reader:
    """Turns nodes into plain data and notes the line of every key path."""

    def __init__(self, path: Path) -> None:
        self.path, self.nodes = path, 0
        self.lines: dict[KeyPath, int] = {}

    def plain(self, node: Node, at: KeyPath) -> Any:
        self.nodes += 1
        self.lines.setdefault(at, node.start_mark.line + 1)
        # An alias is the very node of its anchor, so expanding is what makes it many (and a cycle endless).
        if self.nodes > MAX_NODES or len(at) > MAX_DEPTH:
            raise _too_much(self.path, node.start_mark.line + 1, self.nodes)
        tag = str(node.tag)
        if isinstance(node, MappingNode) and tag == _TAG + "map":
            return self.mapping(node, at)
        if isinstance(node, SequenceNode) and tag == _TAG + "seq":
            return [self.plain(item, (*at, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and tag.removeprefix(_TAG) in _SCALARS:
            return self.scalar(node, at)
        shown_tag = brief(tag.replace(_TAG, "!!"), 60)
        raise self.error(node, at, f"the tag {shown_tag} is not allowed; write a plain value")

    def mapping(self, node: MappingNode, at: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, at)
            if key in data:
                first = self.lines[(*at, key)]
                raise self.error(key_node, (*at, key), f"the key is there twice, first in line {first}")
            self.lines[(*at, key)] = key_node.start_mark.line + 1
            data[key] = self.plain(value_node, (*at, key))
        return data

    def key(self, node: Node, at: KeyPath) -> str:
        tag = str(node.tag).removeprefix(_TAG)
        if tag == "merge":
            raise self.error(node, at, "merge keys (<<) are not YAML 1.2; write the keys out")
        if not isinstance(node, ScalarNode) or _SCALARS.get(tag) is not _text:
            raise self.error(node, at, "a key must be a string; quote it if it is meant as one")
        return str(self.scalar(node, at))

    def scalar(self, node: ScalarNode, at: KeyPath) -> Any:
        try:
            return _SCALARS[str(node.tag).removeprefix(_TAG)](node.value)
        except (ValueError, KeyError) as error:
            reason = error.args[0] if isinstance(error, _RefusedError) else "cannot be read as its tag says"
            raise self.error(node, at, f"{json.dumps(node.value[:60])} {reason}") from None

    def error(self, node: Node, at: KeyPath, message: str) -> InputError:
        return InputError(message, file=self.path, line=node.start_mark.line + 1, key=dotted(at))


class _RefusedError(ValueError):
    """A scalar that is well-formed but not taken, with the reason."""


def _text(text: str) -> str:
    try:
        # JSON, which is YAML, escapes a character beyond U+FFFF as two halves; ruamel leaves them apart.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _RefusedError("holds half of a surrogate pair, which is no character") from None


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("+-")[:2].lower(), 10)
    if len(digits) > 80 or abs(number := int(digits, base)) > MAX_INTEGER:
        raise _RefusedError("is not a 64-bit integer")
    return -abs(number) if digits.startswith("-") else number


def _float(text: str) -> float:
    digits = text.replace("_", "").lower()
    number = math.nan if digits.lstrip("+-") in (".inf", ".nan") else float(digits)
    if not math.isfinite(number):
        raise _RefusedError("is not a finite number")
    return number


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


# Dates, `=` and `<<` have tags of their own in ruamel's resolver; YAML 1.2 knows them as strings.
_SCALARS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("str", "timestamp", "value", "merge"), _text),
    "int": _integer,
    "float": _float,
    "bool": _boolean,
    "null": lambda text: None,
}


def validate(model: type[M], source: YamlSource) -> M:
    """Checks a file against a pydantic model, strictly: nothing is converted to fit.

    Raises:
        InputError: the first thing (by line) that the model does not allow, with file, line and key.
    """
    try:
        # Strict Python mode refuses a list for a tuple and a string for an enum; strict JSON mode takes them.
        return model.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        found = complaints(model, source.data, error)
    path = min(found, key=lambda path: source.line(path) or 0)
    raise source.error(found[path], path) from None
