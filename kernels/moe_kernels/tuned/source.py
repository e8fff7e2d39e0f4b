"""The source hash of kernels: what decides whether a measured row still speaks of the code at hand.

It covers the normalised syntax trees of the jit functions, of the jit functions that they use, and the
constants that they read. Comments, docstrings, layout, quotes and the spelling of numbers do not enter it,
nor does anything of Triton's own, so it is the same on every Python and every Triton.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import logging
import textwrap
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

_log = logging.getLogger("moe_kernels.tuned")
_said: set[str] = set()

# `ctx` follows from the place; `kind` and `type_comment` are spelling.
_SPELLING = frozenset({"ctx", "kind", "type_comment"})


class _NoSourceError(Exception):
    pass


def source_hash(kernels: tuple[Any, ...]) -> str | None:
    """Hashes the source of jit functions and of all that they use.

    Args:
        kernels: `@triton.jit` functions, compiled or interpreted; their order does not matter.

    Returns:
        Hexadecimal digits, or None where the source is not available (said once through `logging`).
    """
    texts: dict[FunctionType, str] = {}
    try:
        for kernel in kernels:
            _collect(_python_function(kernel), texts)
    except _NoSourceError as error:
        if str(error) not in _said:
            _said.add(str(error))
            _log.warning("no source hash: %s; no tuned row can be matched to this kernel", error)
        return None
    return hashlib.sha256("\n".join(sorted(texts.values())).encode()).hexdigest()[:16]


def _python_function(kernel: Any) -> FunctionType:
    function = kernel
    while _is_jit(function):
        function = function.fn
    if not isinstance(function, FunctionType):
        raise _NoSourceError(f"{kernel!r} is not a jit function")
    return function


def _is_jit(value: Any) -> bool:
    return _belongs_to_triton(type(value).__module__) and hasattr(value, "fn")


def _belongs_to_triton(module: object) -> bool:
    return isinstance(module, str) and module.split(".")[0] == "triton"


def _collect(function: FunctionType, texts: dict[FunctionType, str]) -> None:
    if function in texts:
        return
    tree = _parse(function)
    texts[function] = ""
    uses = []
    for path, value in sorted(_uses(tree, function).items()):
        if _is_jit(value):
            callee = _python_function(value)
            uses.append(f"{path}=jit {callee.__name__}")
            _collect(callee, texts)
        else:
            uses.append(f"{path}={_constant(value)}")
    texts[function] = "\n".join([_serialise(tree), *uses])


def _parse(function: FunctionType) -> ast.FunctionDef:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError) as error:
        raise _NoSourceError(f"the source of {function.__qualname__} cannot be read ({error})") from error
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise _NoSourceError(f"{function.__qualname__} is not a function definition")
    # A bare `@triton.jit` says nothing about the code; `@triton.jit(noinline=True)` does.
    definition.decorator_list = [
        decorator
        for decorator in definition.decorator_list
        if isinstance(decorator, ast.Call) and (decorator.args or decorator.keywords)
    ]
    return definition


def _serialise(node: Any) -> str:
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields if name not in _SPELLING)
        # Python 3.12 and later add fields that are empty in code that older Pythons can parse.
        parts = (f"{name}={_serialise(_clean(value))}" for name, value in fields if value not in (None, []))
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(map(_serialise, node))}]"
    # `!a`, since `repr` escapes what the Unicode tables of the running Python cannot print.
    return f"{type(node).__name__}:{node!a}"


def _clean(value: Any) -> Any:
    """Drops statements that are only a string: docstrings, and strings that serve as comments."""
    if not isinstance(value, list):
        return value
    return [item for item in value if not _is_bare_string(item)]


def _is_bare_string(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _uses(tree: ast.AST, function: FunctionType) -> dict[str, Any]:
    """What the function reads from outside itself, by the path that it spells."""
    scope = _Scope(function)
    found = {}
    for path in _paths(tree):
        value = scope.resolve(path)
        if _is_jit(value) or _constant(value) is not None:
            found[".".join(path)] = value
    return found


def _paths(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            names: list[str] = []
            base: ast.expr = node
            while isinstance(base, ast.Attribute):
                names.insert(0, base.attr)
                base = base.value
            if isinstance(base, ast.Name):
                yield (base.id, *names)


class _Scope:
    """The names that a function sees outside itself."""

    def __init__(self, function: FunctionType) -> None:
        code = function.__code__
        self._local = {*code.co_varnames, *code.co_cellvars}
        self._outside: Mapping[str, Any] = function.__globals__
        self._closure = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))

    def resolve(self, path: tuple[str, ...]) -> Any:
        """The value at a dotted path, or None where it is local, unknown or Triton's own."""
        name, *attributes = path
        if name in self._local:
            return None
        value = self._read(name)
        for attribute in attributes:
            if not isinstance(value, ModuleType | type) or _is_tritons(value):
                return None
            value = getattr(value, attribute, None)
        return None if _is_tritons(value) else value

    def _read(self, name: str) -> Any:
        if name not in self._closure:
            return self._outside.get(name)
        try:
            return self._closure[name].cell_contents
        except ValueError:
            return None


def _is_tritons(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return _belongs_to_triton(value.__name__)
    if _is_jit(value):
        return _belongs_to_triton(_python_function(value).__module__)
    return isinstance(value, type | FunctionType) and _belongs_to_triton(value.__module__)


def _constant(value: Any) -> str | None:
    """A stable text of a constant, or None for what is none; `tl.constexpr(8)` reads as 8."""
    kind = type(value)
    if _belongs_to_triton(kind.__module__):
        if kind.__name__ == "constexpr":
            return _constant(value.value)
        return f"dtype:{value.name}" if kind.__name__ == "dtype" else None
    if kind is tuple:
        parts = [_constant(item) for item in value]
        return None if None in parts else f"({','.join(map(str, parts))})"
    return f"{kind.__name__}:{value!a}" if kind in (bool, int, float, str) else None
