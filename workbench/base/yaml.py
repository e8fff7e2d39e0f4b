"""YAML 1.2 files as plain data that remembers its lines.

A file is only ever parsed into nodes: no tag constructs anything, so nothing in a file is executed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
)
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from workbench.base.errors import InputError
from workbench.base.files import read_text
from workbench.base.text import KeyPath, brief, dotted, shown

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_INTEGER = (1 << 63) - 1
_TAG = "tag:yaml.org,2002:"
# They end a line in YAML 1.1 and for PyYAML, but not in YAML 1.2.
_BREAKS_OF_1_1 = re.compile("[\x85\u2028\u2029]")


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


def read_yaml(path: Path) -> YamlSource:
    """Reads a YAML 1.2 file whose top level is a mapping.

    Raises:
        InputError: the file cannot be read, is not UTF-8 or not YAML, repeats a key, carries a tag, or is far
            larger or deeper than a file written by hand.
    """
    text = read_text(path, MAX_BYTES)
    with _one_error(path, text):
        _check_events(path, text)
        root = yaml.compose(text, _Loader)
    if root is None:
        raise InputError("the file is empty; expected a mapping (key: value)", file=path)
    reader = _Reader(path)
    data = reader.plain(root, ())
    if not isinstance(data, dict):
        what = f"the top level must be a mapping (key: value), got {shown(data)}"
        raise InputError(what, file=path, line=_line(root))
    return YamlSource(path, data, reader.lines)


class _Loader(yaml.SafeLoader):
    """Composes nodes with YAML 1.2's tags; PyYAML's own are those of 1.1, where `yes` is true and `1e-2` a string.

    The pure loader: libyaml refuses the two halves in which JSON escapes a character beyond U+FFFF.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        # YAML 1.2 lets an anchor be given anew; PyYAML would refuse it.
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)

    def scan_to_next_token(self) -> None:
        # JSON is YAML, and is often indented with tabs.
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()


# The core schema of YAML 1.2 (section 10.3), with binary integers and underscores between digits besides.
for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", "[-+]?(0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), list(_first))


@contextmanager
def _one_error(path: Path, text: str) -> Iterator[None]:
    try:
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
        # PyYAML leaks built-in errors on odd input, for example OverflowError for the escape "\UFFFFFFFF".
        what = brief(str(error), 200) or type(error).__name__
        raise InputError(f"malformed YAML: {what}", file=path) from None


def _check_events(path: Path, text: str) -> None:
    """Bounds nodes and nesting before the composer, which recurses, sees the file."""
    if found := _BREAKS_OF_1_1.search(text):
        what = f"the character U+{ord(found[0]):04X} must be written as an escape in double quotes"
        raise InputError(what, file=path, line=text.count("\n", 0, found.start()) + 1)
    nodes = depth = 0
    for event in yaml.parse(text, _Loader):
        nodes += isinstance(event, NodeEvent)
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        line = _line(event)
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
        self.lines.setdefault(at, _line(node))
        # An alias is the very node of its anchor, so expanding is what makes it many (and a cycle endless).
        if self.nodes > MAX_NODES or len(at) > MAX_DEPTH:
            raise _too_much(self.path, _line(node), self.nodes)
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
            self.lines[(*at, key)] = _line(key_node)
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
        return InputError(message, file=self.path, line=_line(node), key=dotted(at))


def _line(part: Node | Event) -> int:
    """Counted from 1."""
    return part.start_mark.line + 1 if part.start_mark else 1


class _RefusedError(ValueError):
    """A scalar that is well-formed but not taken, with the reason."""


def _text(text: str) -> str:
    try:
        # JSON, which is YAML, escapes a character beyond U+FFFF as two halves, and PyYAML leaves them apart.
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


# `<<` has a tag of its own, so that it is refused as a key; YAML 1.2 knows it as a string, and no dates.
_SCALARS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("str", "merge", "timestamp"), _text),
    "int": _integer,
    "float": _float,
    "bool": _boolean,
    "null": lambda text: None,
}
