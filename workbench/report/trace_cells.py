"""How figures and names of traces are written in tables."""

from __future__ import annotations

import re

from workbench.base.text import brief
from workbench.timeline.own_names import without_return_type
from workbench.timeline.spread import Spread

NAME_LENGTH = 76
MOST_READ = 2000
_LEFT_OUT = "..."
# What every kernel of torch says, and none is told apart by.
_BOILERPLATE = re.compile(
    r"at::native::|c10::|\(anonymous namespace\)::|binary_internal::|gpu_kernel_impl(?:_nocast)?<|"
    r", (?:std::array|at::detail::Array)<char\*, \d+(?:ul)?>|, (?:Trivial)?OffsetCalculator<[^<>]*>|"
    r", memory::\w+(?:<[^<>]*>)?|\((?:at::)?TensorIterator(?:Base)?&[^()]*\)|::\{lambda\([^()]*\)#\d+\}|"
    r" const&?|::operator\(\)\(\)"
)


def us(value: float) -> str:
    """Microseconds."""
    return f"{value:,.1f}" if abs(value) < 1e5 else f"{value:,.0f}"


def signed_us(value: float) -> str:
    """A difference in microseconds."""
    return f"{value:+,.1f}"


def percent(share: float) -> str:
    """A share."""
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


def spread(value: Spread) -> str:
    """A median, with its range where there is one."""
    return us(value.median) if value.count < 2 else f"{us(value.median)} ({us(value.low)} - {us(value.high)})"


def count(value: float | None) -> str:
    """How often, on average; nothing where that is unknown."""
    return "?" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _without_arguments(text: str) -> str:
    """A function's name without the parentheses that it ends with."""
    if not text.endswith(")") or text.count("(") != text.count(")"):
        return text
    depth = 0
    for at in range(len(text) - 1, 0, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if not depth:
            # What stands in parentheses after a space is no argument: `Memcpy DtoD (Device -> Device)`.
            return text if text[at - 1] == " " else text[:at]
    return text


def kernel_name(name: str, length: int = NAME_LENGTH) -> str:
    """A kernel's name as it fits a table; a name may hold anything.

    Of a long one the middle is left out: the functor that tells elementwise kernels apart stands near the end.
    """
    text = _without_arguments(_BOILERPLATE.sub("", without_return_type(name[:MOST_READ])))
    if len(text) <= length:
        return brief(text, length)
    tail = (length - len(_LEFT_OUT)) * 2 // 5
    return brief(text[: length - len(_LEFT_OUT) - tail] + _LEFT_OUT + text[-tail:], length)


def yes_no(value: bool | None) -> str:
    """A flag that may be unknown."""
    return "unknown" if value is None else "yes" if value else "no"
