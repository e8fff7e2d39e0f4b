"""A module of another class, where hooks of other libraries hold on to the forward of the old one."""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import nn

# Where a forward is kept on the module itself: Accelerate's hooks keep the module's own under the second name and leave
# the first behind when removed; the offloading of compressed-tensors keeps it under the third.
_KEPT = ("forward", "_old_forward", "_original_forward_func")


def become(module: nn.Module, cls: type[nn.Module]) -> None:
    """Makes a module one of a class with the same state; hooks around its forward stay, and reach the new one."""
    own, before = vars(module), type(module).forward
    for name in _KEPT:
        if _function(own.get(name)) is before:
            own[name] = MethodType(cls.forward, module) if isinstance(own[name], MethodType) else cls.forward
    module.__class__ = cls


def is_reached(module: nn.Module) -> bool:
    """Whether a call of the module comes to the forward of its class."""
    own, forward = vars(module), type(module).forward
    return "forward" not in own or any(_function(own.get(name)) is forward for name in _KEPT)


def _function(kept: Any) -> Any:
    return kept.__func__ if isinstance(kept, MethodType) else kept
