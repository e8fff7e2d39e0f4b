"""The experts: E gated feed-forward networks, of which each token passes K."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.models.gemma4.checks import check_shape
from workbench.models.gemma4.config import Gemma4Config

# Up to here a copy of the experts' weights costs less than a launch for each expert in use.
GATHERED_ELEMENTS = 2**18


class Gemma4Experts(nn.Module):
    """Experts by plain torch operations: tokens sorted by expert, one matrix product per expert in use.

    Parameters as in the checkpoint: `gate_up_proj` [E, 2I, H], the gate in the first I rows of an expert and
    the up projection in the rest, and `down_proj` [E, H, I].

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
        experts, hidden, inner = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.config = config
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
        of `hidden`. One host synchronisation, for the number of tokens of each expert, and none where the slots
        are few and small or a CUDA graph is being captured.

        Args:
            hidden: [T, H], T >= 0.
            weights: [T, K], fp32.
            ids: [T, K], integer, each in 0..E-1.

        Returns:
            [T, H] in the dtype of `hidden`.

        Raises:
            ValueError: an argument has another shape.
        """
        tokens, top_k = self._check_shapes(hidden, weights, ids)
        if self._gathers(ids):
            return self._run_gathered(hidden, weights, ids)
        order = ids.flatten().argsort(stable=True)
        counts = _tokens_per_expert(ids, self.config.num_experts)
        outputs = self._run_experts(hidden[order // top_k], counts)
        weighted = (outputs * weights.flatten()[order].unsqueeze(-1)).to(hidden.dtype)
        # Back to token order and summed there: unlike index_add, the same result in every run on a GPU.
        return weighted[order.argsort()].view(tokens, top_k, self.config.hidden_size).sum(dim=1)

    def _check_shapes(self, hidden: Tensor, weights: Tensor, ids: Tensor) -> tuple[int, int]:
        check_shape("hidden", hidden, "T", self.config.hidden_size)
        check_shape("ids", ids, hidden.shape[0], "K")
        check_shape("weights", weights, *ids.shape)
        return ids.shape[0], ids.shape[1]

    def _gathers(self, ids: Tensor) -> bool:
        """Whether each slot gets a copy of its expert: few and small ones, or none may wait for the GPU."""
        copied = ids.numel() * self.gate_up_proj.stride(0)
        return copied <= GATHERED_ELEMENTS or (ids.is_cuda and torch.cuda.is_current_stream_capturing())

    def _run_gathered(self, hidden: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """As the loop over experts, by two batched products and without a host synchronisation."""
        slots, tokens, top_k = ids.flatten(), *ids.shape
        rows = hidden.unsqueeze(1).expand(-1, top_k, -1).reshape(len(slots), 1, hidden.shape[1])
        gate_up = torch.bmm(rows, self.gate_up_proj.index_select(0, slots).mT)
        inner = self.config.hidden_activation.apply(gate_up)
        outputs = torch.bmm(inner, self.down_proj.index_select(0, slots).mT)
        weighted = (outputs * weights.reshape(-1, 1, 1)).to(hidden.dtype)
        return weighted.view(tokens, top_k, hidden.shape[1]).sum(dim=1)

    def _run_experts(self, slots: Tensor, counts: list[int]) -> Tensor:
        """Runs slots [T*K, H], sorted by expert, `counts[e]` of them through expert e."""
        # Unbinding makes one gradient per projection; indexing would make a full-size one for each expert.
        projections = zip(self.gate_up_proj.unbind(), self.down_proj.unbind(), strict=True)
        outputs = [
            functional.linear(self.config.hidden_activation.apply(functional.linear(part, gate_up)), down)
            for part, (gate_up, down) in zip(torch.split(slots, counts), projections, strict=True)
            if part.shape[0]
        ]
        return torch.cat(outputs) if outputs else slots


def _tokens_per_expert(ids: Tensor, num_experts: int) -> list[int]:
    counts = torch.bincount(ids.flatten(), minlength=num_experts)
    # Tensor subclasses have no `tolist`.
    return counts.tolist() if type(counts) is Tensor else [int(count) for count in counts]
