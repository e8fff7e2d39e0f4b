"""A projection with quantised weights by plain torch operations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_kernels.formats.format import QuantisedWeights
from moe_kernels.formats.tokens import dequantise_tokens, quantise_tokens

# Bounds what is dequantised at a time, to a few MB beside a layer's hundreds.
ELEMENTS_AT_A_TIME = 2**19
_WHOLE_ROWS = 128


def quantised_linear(tokens: Tensor, weights: QuantisedWeights) -> Tensor:
    """`tokens @ weights.T` of one expert, some rows at a time, in fp32 or fp64 throughout and rounded once.

    Args:
        tokens: [T, K]; quantised first where the format has quantised activations.
        weights: [1, N, K].

    Returns:
        [T, N] in the dtype of `tokens`.
    """
    wide = torch.float64 if tokens.dtype is torch.float64 else torch.float32
    group = weights.format.activation_group
    # Zero means that the format leaves activations as they are.
    taken = tokens.to(wide) if group == 0 else dequantise_tokens(*quantise_tokens(tokens, group), group, wide)
    _, rows, columns = weights.shape
    step = max(ELEMENTS_AT_A_TIME // max(columns, 1) // _WHOLE_ROWS, 1) * _WHOLE_ROWS
    parts = [weights.rows(start, min(start + step, rows)) for start in range(0, rows, step)] or [weights]
    outputs = [functional.linear(taken, weights.format.dequantise(part, wide)[0]) for part in parts]
    return torch.cat(outputs, dim=1).to(tokens.dtype)
