"""Root-mean-square normalisation."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.models.gemma4.direct import DirectModule


def rms_norm(hidden: Tensor, eps: float, weight: Tensor | None = None) -> Tensor:
    """Divides by the root mean square over the last dimension, times `weight` where there is one.

    y = x * (mean(x^2) + eps)^-0.5 * weight (https://arxiv.org/abs/1910.07467), all in fp32 and rounded once.

    Args:
        hidden: [..., H], floating point.
        eps: added to the mean square.
        weight: [H]; used as it is, not as `1 + weight`.

    Returns:
        [..., H] in the dtype of `hidden`.
    """
    if not hidden.is_cpu or torch.compiler.is_compiling():
        return functional.rms_norm(hidden, hidden.shape[-1:], weight, eps)
    # On a CPU torch's own is a dozen operations, of which each costs more than it computes where H is small:
    # y = x * (weight * H^0.5 / |(x, (H eps)^0.5)|) is four, the last length being that of a vector of H + 1.
    wide = hidden if (plain := hidden.dtype is torch.float32) else hidden.float()
    zero, least, root = _constants(eps, hidden.shape[-1])
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).hypot(least)
    if weight is None:
        normed = torch.addcdiv(zero, wide, length, value=root)
    else:
        wide_weight = weight if weight.dtype is torch.float32 else weight.float()
        normed = wide * torch.addcdiv(zero, wide_weight, length, value=root)
    return normed if plain else normed.to(hidden.dtype)


@cache
def _constants(eps: float, size: int) -> tuple[Tensor, Tensor, float]:
    """Zero and (H eps)^0.5 as tensors, and H^0.5."""
    with torch.inference_mode(mode=False):
        return torch.tensor(0.0), torch.tensor((size * eps) ** 0.5), size**0.5


class Gemma4RMSNorm(DirectModule):
    """RMS normalisation with a learned weight.

    Args:
        hidden_size: H.
        eps: added to the mean square.
        device: where the weight lives.
        dtype: of the weight; None takes torch's default.
    """

    def __init__(
        self,
        hidden_size: int,
        eps: float,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(hidden_size, device=device, dtype=dtype))

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalises [..., H]; the result keeps the dtype of `hidden`."""
        return rms_norm(hidden, self.eps, self.tensor("weight"))
