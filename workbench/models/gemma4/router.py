"""The router: which K of E experts each token goes to, and with which weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_kernels.routing import fused_routing, split_routing
from workbench.models.gemma4.checks import check_choice, check_shape
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectLinear, DirectModule
from workbench.models.gemma4.norm import rms_norm

Routing = Literal["fused", "split"]
# Takes logits [T, E], the experts' scale [E] and K; gives weights [T, K] and ids [T, K].
Route: TypeAlias = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
_ROUTES: dict[str, Route] = {"fused": fused_routing, "split": split_routing}


class Gemma4Router(DirectModule):
    """Scores the experts and routes each token to the top K.

    `logits = proj(rms_norm(hidden) * scale * H^-0.5)`, then the softmax over the K greatest logits, times the
    experts' scale; so a token's weights need not sum to 1. Parameters as in the checkpoint: `proj.weight` [E,
    H], `scale` [H], `per_expert_scale` [E]. All are read when the module is called, so
    `torch.func.functional_call` with a substituted parameter takes effect.

    Args:
        config: the model; `config.router_logits_fp32` accumulates and keeps the logits in fp32, as vLLM does,
            instead of rounding them to the model's dtype, as transformers and SGLang do.
        routing: `fused`, one kernel launch where the tensors allow it, or `split`, the torch operations.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.

    Raises:
        ValueError: `routing` is neither.
    """

    def __init__(
        self,
        config: Gemma4Config,
        *,
        routing: Routing = "fused",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("routing", routing, _ROUTES)
        self.config = config
        self.route = _ROUTES[routing]
        self.proj = DirectLinear(
            config.hidden_size, config.num_experts, bias=False, device=device, dtype=dtype
        )
        self.scale = nn.Parameter(torch.ones(config.hidden_size, device=device, dtype=dtype))
        self.per_expert_scale = nn.Parameter(torch.ones(config.num_experts, device=device, dtype=dtype))

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores the experts.

        Args:
            hidden: [T, H], the residual itself, not normalised.

        Returns:
            [T, E], fp32 where `config.router_logits_fp32`, else in the dtype of the parameters.
        """
        normed = rms_norm(hidden, self.config.rms_norm_eps)
        # Two products, in this order: each rounds in bf16, and the rounding decides ties.
        scaled = normed * self.tensor("scale") * self.config.hidden_size**-0.5
        if self.config.router_logits_fp32:
            return functional.linear(scaled.float(), self.proj.tensor("weight").float())
        logits: Tensor = self.proj(scaled)
        return logits

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Routes T tokens.

        Args:
            hidden: [T, H], the residual itself, not normalised; T >= 0.

        Returns:
            weights fp32 [T, K] and ids int32 [T, K], by descending logit.

        Raises:
            ValueError: `hidden` has another shape.
        """
        check_shape("hidden", hidden, "T", self.config.hidden_size)
        return self.route(self.logits(hidden), self.tensor("per_expert_scale"), self.config.top_k_experts)

    def extra_repr(self) -> str:
        """The options that are no parameters."""
        return f"top_k={self.config.top_k_experts}, routing={self.route.__name__}"
