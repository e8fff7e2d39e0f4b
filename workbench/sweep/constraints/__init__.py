"""Constraints: `scalar` evaluates one config, `columns` any number of them at once, with the same outcome."""

from workbench.sweep.constraints.constraint import Constraint

__all__ = ["Constraint"]
