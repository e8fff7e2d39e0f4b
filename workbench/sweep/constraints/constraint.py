"""A constraint of a sweep file: a small expression over the problem's axes and the config's parameters."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection

from workbench.base.errors import InputError
from workbench.base.text import brief, suggestion
from workbench.sweep.constraints.scalar import ALLOWED, ConstraintError, Variables, build

MAX_LENGTH = 1000


class Constraint:
    """One parsed constraint; calling it with a value for every name says whether the values satisfy it.

    Args:
        text: the expression, for example `tokens_per_program <= tokens`.

    Attributes:
        names: the variables that it reads.
        tree: its syntax tree, checked.

    Raises:
        InputError: the text is no expression, or holds what no constraint may hold.
    """

    __slots__ = ("_evaluate", "names", "text", "tree")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.tree = _parse(text.strip())
            self.names = frozenset(node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name))
            self._evaluate = build(text.strip(), self.tree)
        except ConstraintError as error:
            raise InputError(f"constraint {brief(text, 80)!r}: {error}") from None

    def __repr__(self) -> str:
        return f"Constraint({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type[Constraint], tuple[str]]:
        return Constraint, (self.text,)

    def check_names(self, variables: Collection[str]) -> None:
        """Checks that every name is one of the variables.

        Raises:
            InputError: names the first that is not, and lists the variables.
        """
        for name in sorted(self.names - set(variables)):
            known = f"{suggestion(name, list(variables))}; the variables are {', '.join(variables)}"
            raise InputError(
                f"constraint {brief(self.text, 80)!r}: unknown variable {brief(name, 60)!r}{known}"
            )

    def conjuncts(self) -> tuple[Constraint, ...]:
        """What `and` joins at the top: the constraint holds where they all do, each asked only if those before do."""
        if not (isinstance(self.tree, ast.BoolOp) and isinstance(self.tree.op, ast.And)):
            return (self,)
        segments = [ast.get_source_segment(self.text.strip(), node) for node in self.tree.values]
        return tuple(part for segment in segments for part in Constraint(f"({segment})").conjuncts())

    def __call__(self, variables: Variables) -> bool:
        """Evaluates the constraint.

        Raises:
            InputError: the values cannot be calculated with (a division by zero, a string and a number),
                or the result is neither true nor false.
        """
        try:
            result = self._evaluate(variables)
        except KeyError as error:
            raise self._failed(f"unknown variable {error.args[0]!r}", variables) from None
        except (TypeError, ArithmeticError, ConstraintError) as error:
            raise self._failed(str(error), variables) from None
        if not isinstance(result, bool):
            raise self._failed(f"gives {brief(repr(result), 60)}, not true or false,", variables)
        return result

    def _failed(self, what: str, variables: Variables) -> InputError:
        used = ", ".join(f"{name}={variables[name]!r}" for name in sorted(self.names & set(variables)))
        return InputError(f"constraint {brief(self.text, 80)!r}: {what}{' for ' if used else ''}{used}")


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ConstraintError(f"is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        reason = error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error)
    raise ConstraintError(f"is no expression: {brief(reason, 80)}; {ALLOWED}")
