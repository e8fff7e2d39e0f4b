"""How tokens spread over experts in the inputs of a timed kernel: it decides which weights are read how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

# Loaded only to draw: replays, too, say which distribution a time is of.
if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RoutingDistribution:
    """A way to draw the K distinct experts of each token; draws come from torch's global generator.

    `zipf` ranks the experts in an order drawn anew each time and gives the one at rank r (from 1) the weight r ** -s;
    sets of K are then drawn without replacement, which perturbing the log weights by Gumbel noise and taking the K
    largest does exactly (W. Kool et al., Stochastic Beams and Where to Find Them, 2019).

    Attributes:
        label: what it is called in results.
        kind: `uniform`, `zipf`, or `recorded`: rows of `ids`, from a random one on, over and over.
        exponent: s of `zipf`.
        ids: [rows, K] integers, for `recorded`.
    """

    label: str = "uniform"
    kind: Literal["uniform", "zipf", "recorded"] = "uniform"
    exponent: float = 1.0
    ids: Tensor | None = None

    def draw_ids(self, tokens: int, num_experts: int, top_k: int, device: torch.device) -> Tensor:
        """The experts of each token, [T, K] int32, distinct in a row; by descending score but for `recorded`.

        Raises:
            ValueError: what was recorded has another K, or experts that the problem does not have.
        """
        if self.kind == "recorded":
            return self._recorded(tokens, num_experts, top_k, device)
        return self._scores(tokens, num_experts, device).topk(top_k, dim=1).indices.int()

    def draw_logits(self, tokens: int, num_experts: int, top_k: int, device: torch.device) -> Tensor:
        """Router logits, [T, E] fp32, whose K largest are such a draw.

        Raises:
            ValueError: as `draw_ids`.
        """
        if self.kind != "recorded":
            return self._scores(tokens, num_experts, device)
        import torch

        ids = self._recorded(tokens, num_experts, top_k, device).long()
        ahead = torch.arange(top_k, 0, -1, device=device, dtype=torch.float32)
        logits = torch.randn(tokens, num_experts, device=device).clamp(-4.0, 4.0)
        return logits.scatter(1, ids, (5.0 + ahead).expand(tokens, top_k).contiguous())

    def _scores(self, tokens: int, num_experts: int, device: torch.device) -> Tensor:
        import torch

        gumbel = -torch.log(
            -torch.log(torch.rand(tokens, num_experts, device=device).clamp(1e-20, 1.0 - 1e-7))
        )
        if self.kind == "uniform":
            return gumbel
        ranks = torch.randperm(num_experts, device=device) + 1
        return gumbel - self.exponent * torch.log(ranks.float())

    def _recorded(self, tokens: int, num_experts: int, top_k: int, device: torch.device) -> Tensor:
        import torch

        assert self.ids is not None
        rows, recorded_k = self.ids.shape
        if recorded_k != top_k or int(self.ids.max()) >= num_experts:
            what = f"{recorded_k} of {int(self.ids.max()) + 1} or more experts"
            raise ValueError(
                f"routing: {self.label} records {what}, the problem routes to {top_k} of {num_experts}"
            )
        start = int(torch.randint(rows, (1,))) if device.type != "meta" else 0
        taken = (torch.arange(tokens) + start) % rows
        return self.ids[taken].to(device).int()


UNIFORM = RoutingDistribution()
