"""Random weights, drawn on the device where they stay."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def draw_weights(model: Model, device: torch.device | str | None, seed: int) -> Model:
    """Gives a model on the meta device memory and random weights.

    Matrices have variance 1 / fan-in, which keeps the scale of what passes through; embeddings likewise, so that
    scaled they have variance 1. What is neutral at one (norms, scales, layer scalars) is spread around it, so that
    outputs depend on every weight.

    Args:
        model: with all parameters and persistent buffers on the meta device, tied where they are to be.
        device: where the weights are drawn and stay; None is torch's default device.
        seed: of the weights.

    Returns:
        The same model.
    """
    place = torch.device(torch.get_default_device() if device is None else device)
    materialise(model, place)
    generator = torch.Generator(place).manual_seed(seed)
    for tensor in unique_tensors(model):
        if not tensor.is_floating_point():
            # The one integer tensor: an order of the vocabulary.
            torch.randperm(tensor.numel(), generator=generator, out=tensor)
        elif tensor.dim() == 1:
            tensor.uniform_(0.8, 1.2, generator=generator)
        else:
            tensor.normal_(0.0, tensor.shape[-1] ** -0.5, generator=generator)
    return model


def materialise(model: Model, device: torch.device) -> Model:
    """Gives every parameter and buffer uninitialised memory on a device; tied ones stay one tensor."""
    if any(tensor.is_meta for tensor in unique_tensors(model)):
        model.to_empty(device=device)
        # `to_empty` makes each name its own tensor.
        model.tie_weights()  # type: ignore[operator]
    return model


def unique_tensors(model: nn.Module) -> list[Tensor]:
    """Parameters and persistent buffers, tied ones once, in the order of their names."""
    return list({id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values())
