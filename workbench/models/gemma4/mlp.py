"""The dense feed-forward network of a decoder layer."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_kernels.activation import Activation
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectLinear, DirectModule


class Gemma4MLP(DirectModule):
    """`down_proj(act(gate_proj(x)) * up_proj(x))`, with parameters named so in the checkpoint.

    Args:
        config: the model.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    def __init__(
        self,
        config: Gemma4Config,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        # Gate and up come from two projections, so what is applied is the ungated half of the activation.
        self.activation = Activation(f"{config.hidden_activation}_no_mul")
        self.gate_proj = DirectLinear(hidden, inner, bias=False, device=device, dtype=dtype)
        self.up_proj = DirectLinear(hidden, inner, bias=False, device=device, dtype=dtype)
        self.down_proj = DirectLinear(inner, hidden, bias=False, device=device, dtype=dtype)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps [..., H] to [..., H]."""
        out: Tensor = self.down_proj(self.activation.apply(self.gate_proj(hidden)) * self.up_proj(hidden))
        return out
