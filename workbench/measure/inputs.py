"""The tensors that a kernel is verified and timed on."""

from __future__ import annotations

import torch

from moe_kernels.tunable import Problem, Tensors, TunableKernel


def draw_inputs(kernel: TunableKernel, problem: Problem, *, seed: int, device: torch.device | str) -> Tensors:
    """Draws a problem's inputs from `seed` and leaves torch's global generators as they were."""
    device = torch.device(device)
    on_gpu = [_cuda_index(device)] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):
        torch.manual_seed(seed)
        return kernel.make_inputs(problem, device)


def _cuda_index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
