"""Launches of a jit function as an engine's own launcher makes them, taken note of instead of run.

So the arguments are the engine's, whatever their number and order in its version.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from moe_kernels.tunable import KernelLaunch


class _Recorder:
    """Stands in for a jit function."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self.launches: list[KernelLaunch] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernel, name)

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return partial(self._record, grid)

    def _record(self, grid: Any, *positional: Any, **named: Any) -> None:
        names = _constexprs(self._kernel)
        values = dict(zip(names, positional, strict=False)) | named
        size = tuple(grid(values) if callable(grid) else grid)
        self.launches.append(
            KernelLaunch(
                kernel=self._kernel,
                grid=(*size, *(1,) * (3 - len(size))),
                arguments={name: value for name, value in values.items() if names.get(name) is False},
                constexprs={name: value for name, value in values.items() if names.get(name)},
                options={
                    **{name: value for name, value in values.items() if name not in names},
                    "enable_fp_fusion": True,
                },
            )
        )


def record(launcher: Callable[..., Any], kernel_name: str, **arguments: Any) -> KernelLaunch:
    """The one launch that an engine's launcher makes of its jit function.

    Args:
        launcher: the engine's function that launches.
        kernel_name: the jit function's name in the launcher's module.
        arguments: of the launcher, by name; those that this version does not have are left out.

    Raises:
        KeyError: the launcher's module has no such jit function.
        TypeError: the launcher does not launch once, or needs an argument that is not given.
    """
    module = inspect.unwrap(launcher).__globals__
    recorder = _Recorder(module[kernel_name])
    module[kernel_name] = recorder
    try:
        call(launcher, **arguments)
    finally:
        module[kernel_name] = recorder._kernel
    if len(recorder.launches) != 1:
        raise TypeError(
            f"{launcher.__name__} launches {kernel_name} {len(recorder.launches)} times, not once"
        )
    return recorder.launches[0]


def call(function: Callable[..., Any], **arguments: Any) -> Any:
    """Calls a function with those of the arguments that it has."""
    known = inspect.signature(function).parameters
    return function(**{name: value for name, value in arguments.items() if name in known})


def _constexprs(kernel: Any) -> dict[str, bool]:
    """A jit function's parameters in order, and whether each is a `tl.constexpr`; in the interpreter none is."""
    if hasattr(kernel, "params"):
        return {param.name: bool(param.is_constexpr) for param in kernel.params}
    return dict.fromkeys(kernel.arg_names, False)
