"""Calls with quantised weights, and what they give in float64."""

from __future__ import annotations

import math

import numpy as np
import torch

from moe_kernels.formats import parse_format, quantise_tokens
from tests.moe_kernels.experts.cases import draw_tensors
from tests.moe_kernels.experts.oracle import as_float64, assert_mixed, run_expert

# H and I of each: the smallest odd ones that the format allows over more than one block of 32.
SIZES = {
    "int4-g16": (48, 16),
    "int4-g24-asym": (72, 24),
    "int4-g64": (64, 64),
    "int4-channel": (40, 24),
    "int4-channel-asym": (37, 21),
    "fp8-tensor": (37, 21),
    "fp8-channel": (41, 35),
    "fp8-block": (131, 35),
    "fp8-block-r64": (33, 70),
    "nvfp4": (48, 16),
}


def draw_quantised(name, tokens=3, experts=2, top_k=2, **drawn):
    """hidden, gate_up, down, weights and ids, the projections quantised."""
    hidden, gate_up, down, weights, ids = draw_tensors((tokens, experts, top_k, *SIZES[name]), **drawn)
    weight_format = parse_format(name)
    return hidden, weight_format.quantise(gate_up), weight_format.quantise(down), weights, ids


def dequantised(tensors):
    hidden, gate_up, down, weights, ids = tensors
    projections = (each.format.dequantise(each, torch.float64) for each in (gate_up, down))
    return hidden, *projections, weights, ids


def assert_quantised_mix(out, tensors, activation="gelu_tanh"):
    """As the oracle on the dequantised weights, and where activations are quantised, too, as one that does that.

    There a value that is rounded before lands on another step of e4m3 now and then, a sixteenth away.
    """
    weight_format = tensors[1].format
    if weight_format.activation_group == 0:
        assert_mixed(out, dequantised(tensors), activation)
        return

    def run_quantised(x, gate_up, down, activation):
        inner = run_expert(through_e4m3(x, group), gate_up, np.eye(down.shape[1]), activation)
        return down @ through_e4m3(inner, group)

    group = weight_format.activation_group
    expected = mix(dequantised(tensors), activation, run_quantised)
    error = np.abs(as_float64(out) - expected)
    spread = math.sqrt((expected**2).mean()) if expected.size else 0.0
    assert (error <= 0.25 * spread + 0.02 * np.abs(expected)).all(), (
        f"off by {error.max():.3g} of {spread:.3g}"
    )
    # Not all are: most are as close as rounding leaves them.
    assert expected.size == 0 or np.median(error) <= 0.03 * spread


def mix(tensors, activation, expert_function):
    x, gate_up, down, weights = (as_float64(tensor) for tensor in tensors[:4])
    out = np.zeros_like(x)
    for token, row in enumerate(tensors[4].tolist()):
        for slot, expert in enumerate(row):
            if 0 <= expert < down.shape[0]:
                mixed = expert_function(x[token], gate_up[expert], down[expert], activation)
                out[token] += weights[token, slot] * mixed
    return out


def through_e4m3(row, group):
    values, scales = quantise_tokens(torch.from_numpy(row)[None], group)
    spread = scales.double().repeat_interleave(group or len(row), -1)[:, : len(row)]
    return (values.double() * spread)[0].numpy()
