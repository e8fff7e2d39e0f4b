"""The space of a replayed sweep: what was recorded, as far as the sweep's constraints allow it."""

from __future__ import annotations

import numpy as np

from moe_kernels.tunable import Problem
from workbench.replay import Family
from workbench.sweep.constraints.columns import holds
from workbench.sweep.space import Space
from workbench.sweep.spec import LoadedSpec
from workbench.trials.config_table import ConfigTable


def recorded_space(loaded: LoadedSpec, family: Family) -> Space:
    """Every recorded problem with the recorded configs that the constraints allow.

    Raises:
        InputError: names file, line and key: a constraint cannot be evaluated, or leaves nothing.
    """
    for index, constraint in enumerate(loaded.constraints):
        with loaded.located("constraints", index):
            constraint.check_names((*family.problems[0], *family.default))
    pairs = zip(family.problems, family.landscapes, strict=True)
    tables = tuple(_allowed(loaded, problem, landscape.table) for problem, landscape in pairs)
    if not any(map(len, tables)):
        raise loaded.error("no recorded config is left; relax a constraint", "constraints")
    return Space(family.problems, tables, family.default)


def _allowed(loaded: LoadedSpec, problem: Problem, table: ConfigTable) -> ConfigTable:
    for index, constraint in enumerate(loaded.constraints):
        columns = {name: table.column(name) for name in table.names if name in constraint.names}
        fixed = {
            name: np.full(len(table), value) for name, value in problem.items() if name in constraint.names
        }
        with loaded.located("constraints", index):
            table = ConfigTable(table.levels, table.codes[holds(constraint, {**columns, **fixed})])
    return table
