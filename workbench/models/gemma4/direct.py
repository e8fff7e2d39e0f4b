"""Modules with less between the call and the work."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class DirectModule(nn.Module):
    """Goes straight to `forward` where no hook of its own is to be run, and finds its parts as plain attributes.

    A decode step of a small model calls and reads hundreds of modules, and what torch does around each call and each
    read costs about as much as a small operation. Hooks registered for all modules at once are not run. Parameters and
    buffers are read by `tensor` whenever they are used, so that `torch.func.functional_call` can replace them.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs `forward`, with its hooks where there are any."""
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks:
            return super().__call__(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def tensor(self, name: str) -> Any:
        """A parameter or buffer as `getattr` gives it, which asks torch only after Python has found none."""
        if name in self._parameters:
            return self._parameters[name]
        if name in self._buffers:
            return self._buffers[name]
        # What a parametrisation computes stands in for the parameter that it has taken away.
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute; a module also where Python looks before it asks torch."""
        super().__setattr__(name, value)
        if name in self.__dict__.get("_modules", ()):
            self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        """Removes an attribute, a module from both places."""
        if name in self._modules:
            del self.__dict__[name]
        super().__delattr__(name)


class DirectLinear(DirectModule, nn.Linear):
    """A projection as torch's, called directly."""

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Linear`."""
        return functional.linear(input, self.tensor("weight"), self.tensor("bias"))
