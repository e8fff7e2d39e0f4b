"""Finds the kernel that a reference names: one that ships with `moe_kernels`, an engine's, or `package.module:NAME`."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from pathlib import Path

from moe_kernels.tunable import TunableKernel
from workbench.base.errors import InputError
from workbench.base.text import suggestion
from workbench.integrations.targets import ENGINE_TARGETS, engine_target

_IMPORTABLE = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*")


@cache
def load_kernel(reference: str) -> TunableKernel:
    """The kernel named by `reference`, importing its module where it is not one of the shipped ones.

    Raises:
        InputError: there is no such kernel, its module cannot be imported, or the name is no `TunableKernel`.
    """
    from moe_kernels.registry import TUNABLES

    if reference in TUNABLES:
        return TUNABLES[reference]
    if reference in ENGINE_TARGETS:
        return engine_target(reference)
    if not _IMPORTABLE.fullmatch(reference):
        known = [*TUNABLES, *ENGINE_TARGETS]
        raise InputError(
            f"unknown kernel {reference!r}{suggestion(reference, known)}; allowed: {', '.join(known)}, "
            "or package.module:NAME for a kernel of your own"
        )
    return _imported(*reference.split(":"))


def _imported(module_name: str, attribute: str) -> TunableKernel:
    # The console script, unlike `python -m`, does not put the current folder on the path.
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    kernel = getattr(module, attribute, None)
    if not isinstance(kernel, TunableKernel):
        found = "nothing of that name" if kernel is None else f"a {type(kernel).__name__}"
        raise InputError(
            f"{module_name}:{attribute} must be a moe_kernels.tunable.TunableKernel, found {found}"
        )
    return kernel
