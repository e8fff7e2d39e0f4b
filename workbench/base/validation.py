"""Checks plain data against a pydantic model; what is wrong becomes one line that says what is allowed."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from workbench.base.text import KeyPath, shown, suggestion
from workbench.base.yaml import YamlSource

M = TypeVar("M", bound=BaseModel)


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


def complaints(model: type[BaseModel], data: Any, error: ValidationError) -> dict[KeyPath, str]:
    """One message for each place of `data` that `model` does not allow."""
    groups = _by_path(data, error.errors(include_url=False))
    return {path: _message(model, path, group) for path, group in groups.items()}


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


def _message(model: type[BaseModel], path: KeyPath, errors: list[ErrorDetails]) -> str:
    error = errors[0]
    got = error["input"]
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
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
    return [name for each in annotations for fields in _fields(each) for name in fields]


def _inside(annotation: Any, part: str | int) -> list[Any]:
    if fields := _fields(annotation):
        return [each[part] for each in fields if isinstance(part, str) and part in each]
    return [inner for each in _branches(annotation) for inner in get_args(each)]


def _fields(annotation: Any) -> list[Mapping[str, Any]]:
    """For each model and dataclass that an annotation allows, what its keys hold."""
    found: list[Mapping[str, Any]] = []
    for each in _branches(annotation):
        if isinstance(each, type) and issubclass(each, BaseModel):
            found.append({info.alias or name: info.annotation for name, info in each.model_fields.items()})
        elif is_dataclass(each):
            found.append(get_type_hints(each))
    return found


def _branches(annotation: Any) -> list[Any]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return list(get_args(annotation)) if is_union else [annotation]
