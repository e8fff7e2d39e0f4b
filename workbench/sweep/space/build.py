"""The space of a sweep: every problem with every config that its constraints allow, in a fixed order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.sweep.constraints import Constraint
from workbench.sweep.space.enumeration import Enumeration
from workbench.sweep.space.join import Keys, Tally, TooManyError
from workbench.sweep.space.predicates import MAX_SETTLED, DoubtError
from workbench.sweep.spec import LoadedSpec
from workbench.trials.config_table import ConfigTable

MAX_PROBLEMS = 100_000
MAX_CONFIGS = 50_000_000
"""Configs of all problems together that differ; a table takes a byte a parameter and config, building it 8 more."""
MAX_EVALUATED = 20_000_000_000
"""Combinations that constraints are evaluated on, about a minute's worth."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a sweep may try. Configs are complete; equal dicts are the same config.

    Attributes:
        problems: the problems, in the order of the sweep file.
        configs: for each problem, the configs that the constraints allow, in the order of their product. Problems
            that no constraint tells apart share one table.
        default: the kernel's default config, the baseline of every problem, listed in `configs` or not.
    """

    problems: tuple[Problem, ...]
    configs: tuple[ConfigTable, ...]
    default: Config

    @property
    def empty_problems(self) -> tuple[Problem, ...]:
        """The problems for which the constraints leave no config."""
        pairs = zip(self.problems, self.configs, strict=True)
        return tuple(problem for problem, configs in pairs if not configs)


def build_space(loaded: LoadedSpec, kernel: TunableKernel) -> Space:
    """Enumerates a sweep that `resolve_kernel` has checked against its kernel.

    Raises:
        InputError: names file, line and key: the space is too large, a constraint cannot be evaluated on a config
            that no other rejects, or the constraints leave no config for any problem.
    """
    _check_size(loaded)
    problems = tuple(_problems(loaded.spec.problems, [axis.name for axis in kernel.axes]))
    tables = _Tables(loaded, kernel)
    alike = Counter(map(tables.key, problems))
    found = {tables.key(problem): problem for problem in reversed(problems)}
    by_key = {key: tables.build(found[key], count) for key, count in alike.items()}
    if not any(by_key.values()):
        raise _nothing_left(loaded, tables.tally)
    return Space(problems, tuple(by_key[tables.key(problem)] for problem in problems), kernel.default_config)


def _check_size(loaded: LoadedSpec) -> None:
    problems, configs = _sizes(loaded)
    if problems > MAX_PROBLEMS:
        raise loaded.error(f"these are {problems} problems; at most {MAX_PROBLEMS} are allowed", "problems")
    if configs >= 1 << 63:
        what = f"these are {configs} combinations of values, before any constraint; at most {(1 << 63) - 1}"
        raise loaded.error(f"{what} are allowed", "space")


def _sizes(loaded: LoadedSpec) -> tuple[int, int]:
    """How many problems there are, and how many combinations of values the space lists."""
    sections = (loaded.spec.problems, loaded.spec.space)
    problems, configs = (math.prod(len(values) for values in section.values()) for section in sections)
    return problems, configs


def _problems(values: Mapping[str, Sequence[Any]], names: Sequence[str]) -> Iterator[Problem]:
    """The product of the axes with its last key varying fastest; every problem in the kernel's order."""
    for row in product(*values.values()):
        chosen = dict(zip(values, row, strict=True))
        yield {name: chosen[name] for name in names}


class _Tables:
    """Builds the tables of a sweep's problems, all within the same limits."""

    def __init__(self, loaded: LoadedSpec, kernel: TunableKernel) -> None:
        self._loaded = loaded
        self._default = kernel.default_config
        self._read = frozenset[str]().union(*(each.names for each in loaded.constraints))
        self._left = MAX_CONFIGS
        self.tally = Tally(MAX_EVALUATED)

    def key(self, problem: Problem) -> tuple[int | str, ...]:
        """What constraints read of a problem; equal for problems that have the same configs."""
        return tuple(value for name, value in problem.items() if name in self._read)

    def build(self, problem: Problem, alike: int) -> ConfigTable:
        """The table of a problem, and of all that are like it."""
        space, constraints = self._loaded.spec.space, self._loaded.constraints
        fixed = {name: value for name, value in {**self._default, **problem}.items() if name not in space}
        try:
            enumeration = Enumeration(space, fixed, constraints, self.tally, weight=alike)
            keys = enumeration.keys(self._left)
        except TooManyError as error:
            raise self._too_many(error) from None
        except DoubtError as error:
            what = (
                f"cannot be evaluated, or has integers over 2**53, for more than {MAX_SETTLED} combinations"
            )
            raise self._loaded.error(
                f"{what} of values; list fewer values", "constraints", error.index
            ) from None
        self._check_evaluated(enumeration, keys)
        self._left -= len(keys)
        levels = {name: space.get(name, (value,)) for name, value in self._default.items()}
        return ConfigTable.of_keys(levels, keys, tuple(space))

    def _check_evaluated(self, enumeration: Enumeration, keys: Keys) -> None:
        variables = enumeration.first_raising(keys)
        if variables is None:
            return
        for index, constraint in enumerate(self._loaded.constraints):
            with self._loaded.located("constraints", index):
                constraint(variables)

    def _too_many(self, error: TooManyError) -> InputError:
        problems, configs = _sizes(self._loaded)
        product_of = f"{problems} problems x {configs} combinations of values"
        if error.configs is None:
            what = f"{product_of} need more than {MAX_EVALUATED} evaluations of constraints"
            return self._loaded.error(f"{what}; list fewer values", "space")
        count = MAX_CONFIGS - self._left + error.configs
        what = f"the constraints leave {count} or more configs of {product_of}; at most {MAX_CONFIGS} are allowed"
        return self._loaded.error(f"{what}; list fewer values or add a constraint", "space")


def _nothing_left(loaded: LoadedSpec, tally: Tally) -> InputError:
    at_fault = sorted(index for index, count in tally.rejected.items() if count)
    told = ", ".join(
        f"{_quoted(loaded.constraints[index])} rejects {tally.rejected[index]}" for index in at_fault
    )
    what = f"no config is left for any problem: of {tally.rejected.total()} candidates {told}"
    return loaded.error(f"{what}; widen the space or relax a constraint", "constraints", at_fault[-1])


def _quoted(constraint: Constraint) -> str:
    return repr(brief(constraint.text, 80))
