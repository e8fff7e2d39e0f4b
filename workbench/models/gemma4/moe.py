"""The sparse half of a decoder layer's feed-forward."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_kernels.experts.backend import Backend
from moe_kernels.formats import WeightFormat
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectModule
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.norm import Gemma4RMSNorm
from workbench.models.gemma4.router import Gemma4Router, Routing


class Gemma4MoE(DirectModule):
    """Router and experts with the two norms around the experts; runs beside the layer's dense MLP.

    `post_feedforward_layernorm_2(experts(pre_feedforward_layernorm_2(r), router(r)))`: the router sees the
    residual itself and normalises it without a weight. Parameters as in the checkpoint's layer: `router.*`,
    `experts.*`, `pre_feedforward_layernorm_2.weight`, `post_feedforward_layernorm_2.weight`.

    Args:
        config: the model.
        routing: as in `Gemma4Router`.
        backend: as in `Gemma4Experts`.
        format: of the experts' weights, as in `Gemma4Experts`.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    def __init__(
        self,
        config: Gemma4Config,
        *,
        routing: Routing = "fused",
        backend: Backend = "auto",
        format: WeightFormat | str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.rms_norm_eps
        self.router = Gemma4Router(config, routing=routing, device=device, dtype=dtype)
        self.experts = Gemma4Experts(config, backend=backend, format=format, device=device, dtype=dtype)
        self.pre_feedforward_layernorm_2 = Gemma4RMSNorm(size, eps, device=device, dtype=dtype)
        self.post_feedforward_layernorm_2 = Gemma4RMSNorm(size, eps, device=device, dtype=dtype)

    def forward(self, residual: Tensor) -> Tensor:
        """Routes T tokens through their experts.

        Args:
            residual: [T, H], the stream after attention, T >= 0.

        Returns:
            [T, H] in the dtype of `residual`, to be added to the dense MLP's normalised output.

        Raises:
            ValueError: `residual` has another shape.
        """
        weights, ids = self.router(residual)
        mixed = self.experts(self.pre_feedforward_layernorm_2(residual), weights, ids)
        out: Tensor = self.post_feedforward_layernorm_2(mixed)
        return out
