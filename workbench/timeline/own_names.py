"""A kernel's own name: the function's, without what it is in and what it is instantiated with."""

from __future__ import annotations

import re

# Functions that only launch what their first template argument is.
_WRAPPER = re.compile(r"kentry|device_kernel|kernel2?|kernel_entry|enable_\w+", re.IGNORECASE)
_ANONYMOUS = re.compile(r"\((?:anonymous namespace|anonymous)\)::|<unnamed>::")
_LENGTH = re.compile(r"\d+")
# A number, truth value or the like as a template argument.
_LITERAL = re.compile(r"L[a-z]n?\d+E")
_QUALIFIED = re.compile(r"((?:[A-Za-z_]\w*::)*)([A-Za-z_]\w*)")


def own_name(name: str) -> str:
    """The function's own name; of one that only launches its template argument, that argument's own name.

    Args:
        name: as a trace has it: demangled, mangled (Itanium), or plain as Triton's.
    """
    return _of_mangled(name) if name.startswith("_ZN") else _of_demangled(name)


def without_return_type(name: str) -> str:
    """A demangled name without what its function returns, which is nothing: in words, or in those of a template."""
    if name.startswith("std::enable_if<"):
        return name.rpartition(">::type ")[2]
    return name.removeprefix("void ")


def _of_demangled(name: str) -> str:
    text = without_return_type(_ANONYMOUS.sub("", name))
    found = _QUALIFIED.match(text)
    if found is None:
        return name
    own, rest = found[2], text[found.end() :]
    if not (_WRAPPER.fullmatch(own) and rest.startswith("<")):
        return own
    inner = (each[2] for each in _QUALIFIED.finditer(rest) if each[1])
    return next((each for each in inner if not _WRAPPER.fullmatch(each)), own)


def _of_mangled(name: str) -> str:
    """The last identifier before the first template argument, or the first within where that one only launches it."""
    identifiers = _identifiers(_LITERAL.sub("", name), len("_ZN"))
    own, inner = name, []
    for place, (identifier, is_last) in enumerate(identifiers):
        own = identifier
        if is_last:
            inner = [each for each, _ in identifiers[place + 1 :]]
            break
    return (
        next((each for each in inner if not _WRAPPER.fullmatch(each)), own)
        if _WRAPPER.fullmatch(own)
        else own
    )


def _identifiers(name: str, at: int) -> list[tuple[str, bool]]:
    """Identifiers that their lengths stand before, and whether each is the last of its qualified name."""
    found = []
    while (length := _LENGTH.search(name, at)) is not None:
        end = length.end() + int(length[0])
        identifier = name[length.end() : end]
        # Numbers of template arguments have lengths of no identifier.
        if end > len(name) or not identifier.isidentifier():
            at = length.end()
            continue
        found.append((identifier, not name[end : end + 1].isdigit()))
        at = end
    return found
