"""The space of a sweep: every problem with every config that its constraints allow, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.errors import InputError
from workbench.sweep.config_table import ConfigTable
from workbench.sweep.constraints import Constraint
from workbench.sweep.rows import Candidate
from workbench.sweep.spec import LoadedSpec
from workbench.yaml_source import brief

MAX_CANDIDATES = 1_000_000


@dataclass(frozen=True, slots=True)
class Space:
    """What a sweep may try. Configs are complete; equal dicts are the same config.

    Attributes:
        problems: the problems, in the order of the sweep file.
        configs: for each problem, the configs that the constraints allow, in the order of their product.
        default: the kernel's default config, the baseline of every problem, listed in `configs` or not.
    """

    problems: tuple[Problem, ...]
    configs: tuple[ConfigTable, ...]
    default: Config

    @property
    def empty_problems(self) -> tuple[Problem, ...]:
        """The problems for which the constraints leave no config."""
        pairs = zip(self.problems, self.configs, strict=True)
        return tuple(problem for problem, configs in pairs if not len(configs))

    def candidates(self, *, with_default: bool = True) -> tuple[Candidate, ...]:
        """Every problem that is not empty with its configs.

        Args:
            with_default: puts the default first where a problem's configs leave it out.
        """
        return tuple(self._candidates(with_default))

    def _candidates(self, with_default: bool) -> Iterator[Candidate]:
        for problem, configs in zip(self.problems, self.configs, strict=True):
            if with_default and len(configs) and self.default not in configs:
                yield Candidate(problem, self.default)
            for config in configs:
                yield Candidate(problem, config)


def build_space(loaded: LoadedSpec, kernel: TunableKernel) -> Space:
    """Enumerates a sweep that `resolve_kernel` has checked against its kernel.

    Raises:
        InputError: names file, line and key: the space is too large to enumerate, a constraint cannot be
            evaluated, or the constraints leave no config for any problem.
    """
    _check_size(loaded)
    problems = tuple(_product(loaded.spec.problems, [axis.name for axis in kernel.axes], {}))
    names = [parameter.name for parameter in kernel.parameters]
    configs = tuple(_product(loaded.spec.space, names, kernel.default_config))
    rejections = [0] * len(loaded.constraints)
    allowed = tuple(
        ConfigTable.of(names, _allowed(loaded, problem, configs, rejections)) for problem in problems
    )
    if not any(map(len, allowed)):
        raise _nothing_left(loaded, rejections)
    return Space(problems, allowed, kernel.default_config)


def _check_size(loaded: LoadedSpec) -> None:
    sizes = {
        "problems": math.prod(len(values) for values in loaded.spec.problems.values()),
        "space": math.prod(len(values) for values in loaded.spec.space.values()),
    }
    if (total := math.prod(sizes.values())) > MAX_CANDIDATES:
        what = f"{sizes['problems']} problems x {sizes['space']} configs are {total} candidates"
        raise loaded.error(f"{what}; at most {MAX_CANDIDATES} are allowed", max(sizes, key=sizes.__getitem__))


def _product(
    values: Mapping[str, Sequence[Any]], names: Sequence[str], default: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The product with its last key varying fastest; every dict has all names, in the kernel's order."""
    for row in product(*values.values()):
        chosen = {**default, **dict(zip(values, row, strict=True))}
        yield {name: chosen[name] for name in names}


def _allowed(
    loaded: LoadedSpec, problem: Problem, configs: Sequence[Config], rejections: list[int]
) -> Iterator[Config]:
    """The configs that satisfy every constraint; each of the others is counted where it first fails."""
    for config in configs:
        failed = _first_failing(loaded, {**problem, **config})
        if failed is None:
            yield config
        else:
            rejections[failed] += 1


def _first_failing(loaded: LoadedSpec, variables: Mapping[str, Any]) -> int | None:
    for index, constraint in enumerate(loaded.constraints):
        try:
            if not constraint(variables):
                return index
        except InputError as error:
            raise loaded.error(error.message, "constraints", index) from None
    return None


def _nothing_left(loaded: LoadedSpec, rejections: Sequence[int]) -> InputError:
    at_fault = [index for index, count in enumerate(rejections) if count]
    told = ", ".join(
        f"{_quoted(loaded.constraints[index])} rejects {rejections[index]}" for index in at_fault
    )
    what = f"no config is left for any problem: of {sum(rejections)} candidates {told}"
    return loaded.error(f"{what}; widen the space or relax a constraint", "constraints", at_fault[-1])


def _quoted(constraint: Constraint) -> str:
    return repr(brief(constraint.text, 80))
