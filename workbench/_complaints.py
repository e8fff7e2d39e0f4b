"""What pydantic found wrong with plain data, in words: what is wrong and what is allowed."""

from __future__ import annotations

import json
import types
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

KeyPath = tuple[str | int, ...]


def complaints(model: type[BaseModel], data: Any, error: ValidationError) -> dict[KeyPath, str]:
    """One message for each place of `data` that `model` does not allow."""
    groups = _by_path(data, error.errors(include_url=False))
    return {path: _message(model, path, group) for path, group in groups.items()}


def shown(value: Any) -> str:
    """A value of a YAML file as errors show it: short, printable, with its kind."""
    if isinstance(value, dict | list | tuple) or value is None:
        return _kind(value)
    text = json.dumps(value)
    return f"{text if len(text) <= 60 else text[:56] + '...'} ({_kind(value)})"


def suggestion(word: str, allowed: Sequence[str]) -> str:
    """` (did you mean 'x'?)` where one of the allowed words is close, else nothing."""
    close = get_close_matches(word, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _by_path(data: Any, errors: list[ErrorDetails]) -> dict[KeyPath, list[ErrorDetails]]:
    """Groups errors by key path; where a union complains of a value and inside it, the inside says more."""
    groups: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        groups.setdefault(_key_path(data, error), []).append(error)
    inner = {path[:length] for path in groups for length in range(len(path))}
    return {path: group for path, group in groups.items() if path not in inner} or groups


def _key_path(data: Any, error: ErrorDetails) -> KeyPath:
    """Pydantic's location without the names of union branches, which are no keys of the file."""
    path: KeyPath = ()
    for part in error["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            path, data = (*path, part), data[part]  # type: ignore[index]
    return (*path, error["loc"][-1]) if error["type"] == "missing" else path


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "mapping_type", "dataclass_type"), "a mapping (key: value)"),
}


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", dict: "a mapping"}
    return "nothing" if value is None else names.get(type(value), "a list")


def _message(model: type[BaseModel], path: KeyPath, errors: list[ErrorDetails]) -> str:
    error = errors[0]
    got = error["input"]
    if error["type"] == "extra_forbidden":
        names = _field_names(model, path[:-1])
        return f"unknown key{suggestion(str(path[-1]), names)}; allowed: {', '.join(names)}"
    if error["type"] == "missing":
        return "this key is required and is missing"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if all(each["type"] in _EXPECTED for each in errors):
        *others, last = dict.fromkeys(_EXPECTED[each["type"]] for each in errors)
        return f"must be {', '.join(others)}{' or ' if others else ''}{last}, got {shown(got)}"
    said = error["msg"].replace("Input should", "must").replace("should", "must")
    options = str(error.get("ctx", {}).get("expected", "")).replace("'", " ").split()
    close = suggestion(got, options) if isinstance(got, str) else ""
    return f"{said[0].lower()}{said[1:]}, got {shown(got)}{close}"


def _field_names(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the model allows at a path."""
    annotations: list[Any] = [model]
    for part in path:
        annotations = [inner for each in annotations for inner in _inside(each, part)]
    models = [each for annotation in annotations for each in _models(annotation)]
    return [info.alias or name for each in models for name, info in each.model_fields.items()]


def _inside(annotation: Any, part: str | int) -> list[Any]:
    fields = [each.model_fields for each in _models(annotation)]
    if fields:
        return [each[part].annotation for each in fields if isinstance(part, str) and part in each]
    return [inner for each in _branches(annotation) for inner in get_args(each)]


def _branches(annotation: Any) -> list[Any]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return list(get_args(annotation)) if is_union else [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    branches = _branches(annotation)
    return [each for each in branches if isinstance(each, type) and issubclass(each, BaseModel)]
