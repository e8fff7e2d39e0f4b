"""Small modules that are called often, with less between the call and the work."""

from __future__ import annotations

from typing import Any

from torch import nn


class DirectModule(nn.Module):
    """Goes straight to `forward` where no hook of its own is to be run.

    A decode step of a small model calls more than a hundred norms and projections, and what torch does around each
    call costs about as much as the call. Hooks registered for all modules at once are not run.
    """

    def __call__(self, *args: Any) -> Any:
        """Runs `forward`, with its hooks where there are any."""
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks:
            return super().__call__(*args)
        return self.forward(*args)


class DirectLinear(DirectModule, nn.Linear):
    """A projection as torch's, called directly."""
