"""Gemma 4's router and experts of `transformers`, computed by our kernels. Importing this imports `transformers`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextExperts, Gemma4TextRouter

from moe_kernels.experts import fused_experts
from moe_kernels.routing import fused_routing


class FusedGemma4TextRouter(Gemma4TextRouter):  # type: ignore[misc]
    """The router with `moe_kernels.routing.fused_routing` in the place of softmax, top-k, gather and scale.

    It has no state of its own: parameters, submodules and their hooks are those of the class below it, and each is read
    when the module is called.
    """

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Routes tokens.

        `transformers` ranks fp32 probabilities and leaves the order of ties open; this ranks the logits, and equal ones
        go to the lowest expert id.

        Args:
            hidden_states: [..., H], the residual itself, not normalised.

        Returns:
            As the class below: probabilities over all experts fp32 [..., E], which `output_router_logits` records;
            weights fp32 [..., K]; ids int64 [..., K].
        """
        if hidden_states.dtype is torch.float64:
            theirs: tuple[Tensor, Tensor, Tensor] = super().forward(hidden_states)
            return theirs
        scaled = self.norm(hidden_states) * self.scale * self.scalar_root_size
        logits: Tensor = self.proj(scaled)
        # Nothing waits for it in a compiled model, where it is left out unless it is recorded.
        probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32)
        rows = logits.reshape(-1, logits.shape[-1])
        weights, ids = fused_routing(rows, self.per_expert_scale, self.config.top_k_experts)
        shape = (*logits.shape[:-1], weights.shape[-1])
        return probabilities, weights.view(shape), ids.view(shape).long()


class FusedGemma4TextExperts(Gemma4TextExperts):  # type: ignore[misc]
    """The experts by `moe_kernels.experts.fused_experts`, over the same parameters."""

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Sums each token's K experts.

        Args:
            hidden_states: [T, H]. In another dtype than the experts', as autocast may leave it, what `transformers` has
                chosen runs instead.
            top_k_index: [T, K], int32 or int64; one out of 0..E-1, which marks an expert of another rank, adds nothing.
            top_k_weights: [T, K], floating point.

        Returns:
            [T, H] in the dtype of `hidden_states`.
        """
        if hidden_states.dtype is not self.gate_up_proj.dtype:
            theirs: Tensor = super().forward(hidden_states, top_k_index, top_k_weights)
            return theirs
        return fused_experts(
            hidden_states,
            self.gate_up_proj,
            self.down_proj,
            top_k_weights,
            top_k_index,
            activation=self.config.hidden_activation,
        )


OURS: Mapping[type[nn.Module], type[nn.Module]] = {
    Gemma4TextRouter: FusedGemma4TextRouter,
    Gemma4TextExperts: FusedGemma4TextExperts,
}
KNOWN = frozenset((*OURS, *OURS.values()))
