"""The experts: E gated feed-forward networks, of which each token passes K."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moe_kernels.experts import fused_experts
from moe_kernels.experts.backend import BACKENDS, Backend
from workbench.models.gemma4.checks import check_choice, check_shape
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectModule

# Up to here, on a CPU, a copy of the experts' weights costs less than a product for each expert in use.
GATHERED_ELEMENTS = 2**18


class Gemma4Experts(DirectModule):
    """Experts by `moe_kernels.experts.fused_experts`: Triton kernels for bf16 and fp16 on CUDA, else torch operations.

    Parameters as in the checkpoint: `gate_up_proj` [E, 2I, H], the gate in the first I rows of an expert and
    the up projection in the rest, and `down_proj` [E, H, I].

    Args:
        config: the model.
        backend: `grouped`, `decode` or `torch`, or `auto`, which picks by dtype, device, token count and what was
            tuned; `moe_kernels.experts.explain_backend` says what it picks and why.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.

    Raises:
        ValueError: there is no such backend.
    """

    def __init__(
        self,
        config: Gemma4Config,
        *,
        backend: Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("backend", backend, BACKENDS)
        experts, hidden, inner = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.config = config
        self.backend = backend
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * inner, hidden, device=device, dtype=dtype))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, inner, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws each projection with variance 1 / fan-in, which keeps the scale of what passes through."""
        for projection in (self.gate_up_proj, self.down_proj):
            nn.init.normal_(projection, std=projection.shape[-1] ** -0.5)

    def forward(self, hidden: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """Sums each token's K experts: `weight * down(act(gate(x)) * up(x))`.

        The weight multiplies in the wider dtype of the two (fp32), then the product is rounded to the dtype
        of `hidden`. The kernels never make the host wait; the torch operations do once, for the number of tokens
        of each expert.

        Args:
            hidden: [T, H], T >= 0.
            weights: [T, K], fp32.
            ids: [T, K], int32 or int64; one out of 0..E-1 adds nothing.

        Returns:
            [T, H] in the dtype of `hidden`.

        Raises:
            ValueError: an argument has another shape or dtype, or the backend cannot take it.
        """
        check_shape("hidden", hidden, "T", self.config.hidden_size)
        check_shape("ids", ids, hidden.shape[0], "K")
        check_shape("weights", weights, *ids.shape)
        if self.backend == "auto" and self._gathers(hidden, ids):
            return self._run_gathered(hidden, weights, ids)
        return fused_experts(
            hidden,
            self.gate_up_proj,
            self.down_proj,
            weights,
            ids,
            activation=self.config.hidden_activation,
            backend=self.backend,
        )

    def _gathers(self, hidden: Tensor, ids: Tensor) -> bool:
        """Whether each slot gets a copy of its expert: few and small ones, of plain tensors on a CPU."""
        is_plain = type(hidden) is Tensor and hidden.device.type == "cpu"
        return is_plain and 0 < ids.numel() * self.gate_up_proj.stride(0) <= GATHERED_ELEMENTS

    def _run_gathered(self, hidden: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """As the loop over experts, by two batched products; a foreign expert's slot counts zero."""
        slots, tokens, top_k = ids.flatten(), *ids.shape
        known = slots.clamp(0, self.config.num_experts - 1)
        rows = hidden.unsqueeze(1).expand(-1, top_k, -1).reshape(len(slots), 1, hidden.shape[1])
        gate_up = torch.bmm(rows, self.gate_up_proj.index_select(0, known).mT)
        inner = self.config.hidden_activation.apply(gate_up)
        outputs = torch.bmm(inner, self.down_proj.index_select(0, known).mT)
        weighted = (outputs * weights.reshape(-1, 1, 1)).to(hidden.dtype)
        weighted = weighted.masked_fill((known != slots).view(-1, 1, 1), 0.0)
        return weighted.view(tokens, top_k, hidden.shape[1]).sum(dim=1)

    def extra_repr(self) -> str:
        """The options that are no parameters."""
        return f"backend={self.backend}"
