"""The experts in float64 numpy, slot by slot, written from the contract and not from the code."""

from __future__ import annotations

import math

import numpy as np
import torch

ERF = np.vectorize(math.erf, otypes=[np.float64])


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + ERF(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS = {"silu": silu, "gelu": gelu, "gelu_tanh": gelu_tanh}
GATED = tuple(FUNCTIONS)
UNGATED = tuple(f"{name}_no_mul" for name in FUNCTIONS)


def as_float64(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def run_expert(x: np.ndarray, gate_up: np.ndarray, down: np.ndarray, activation: str) -> np.ndarray:
    function = FUNCTIONS[activation.removesuffix("_no_mul")]
    before = gate_up @ x
    if activation in UNGATED:
        return down @ function(before)
    half = before.shape[0] // 2
    return down @ (function(before[:half]) * before[half:])


def bound_expert(x: np.ndarray, gate_up: np.ndarray, down: np.ndarray, activation: str) -> np.ndarray:
    """No sum inside an expert exceeds this, even without its cancellations."""
    before = np.abs(gate_up) @ np.abs(x)
    if activation in UNGATED:
        return np.abs(down) @ before
    half = before.shape[0] // 2
    return np.abs(down) @ (before[:half] * before[half:])


def mix(tensors, activation: str, expert_function=run_expert) -> np.ndarray:
    """[T, H]: every slot's expert on its token, times its weight; experts out of range add nothing."""
    x, gate_up, down, weights = (as_float64(tensor) for tensor in tensors[:4])
    out = np.zeros_like(x)
    for token, row in enumerate(tensors[4].tolist()):
        for slot, expert in enumerate(row):
            if 0 <= expert < down.shape[0]:
                mixed = expert_function(x[token], gate_up[expert], down[expert], activation)
                weight = weights[token, slot]
                out[token] += (weight if expert_function is run_expert else abs(weight)) * mixed
    return out


def assert_mixed(out: torch.Tensor, tensors, activation: str = "gelu_tanh") -> None:
    """Within rounding of the dtype, by the spread of the output, and of the accumulator, by what it summed."""
    hidden = tensors[0]
    assert (out.shape, out.dtype, out.device) == (hidden.shape, hidden.dtype, hidden.device)
    expected, actual = mix(tensors, activation), as_float64(out)
    spread = math.sqrt((expected**2).mean()) if expected.size else 0.0
    unit = torch.finfo(hidden.dtype).eps
    bound = mix(tensors, activation, bound_expert)
    # Where a few outputs cancel, their spread says nothing of how large the terms were that were rounded.
    terms = bound if expected.size < 16 else 0.0
    allowed = unit * (10 * spread + 3 * np.abs(expected) + terms) + 16 * min(unit, 2.0**-23) * bound
    error = np.abs(actual - expected)
    assert (error <= allowed).all(), f"off by {error.max():.3g}"
    foreign = ((tensors[4] < 0) | (tensors[4] >= tensors[2].shape[0])).all(dim=1).cpu().numpy()
    assert not actual[foreign].any(), "a token without experts is not zero"
