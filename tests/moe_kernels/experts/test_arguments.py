"""What `fused_experts` refuses."""

from __future__ import annotations

import re

import pytest
import torch

from moe_kernels.experts import fused_experts

HIDDEN, WEIGHTS, IDS = torch.zeros(3, 8), torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.int32)
GATE_UP, DOWN = torch.zeros(4, 12, 8), torch.zeros(4, 8, 6)
ARGUMENTS = {"hidden": HIDDEN, "gate_up": GATE_UP, "down": DOWN, "weights": WEIGHTS, "ids": IDS}
FLOATS = "bfloat16 or float16 or float32 or float64"
GATED = "(gelu_tanh is gated, two rows for each of down's I)"

WRONG = {
    "hidden of one dimension": ({"hidden": torch.zeros(8)}, "hidden: must have shape [T, H], got [8]"),
    "other hidden size": ({"hidden": torch.zeros(3, 7)}, "down: must have shape [E, 7, I], got [4, 8, 6]"),
    "down of two dimensions": ({"down": DOWN[0]}, "down: must have shape [E, 8, I], got [8, 6]"),
    "one half of gate_up": (
        {"gate_up": GATE_UP[:, :6]},
        f"gate_up: must have shape [4, 12, 8] {GATED}, got [4, 6, 8]",
    ),
    "fewer experts": (
        {"gate_up": GATE_UP[1:]},
        f"gate_up: must have shape [4, 12, 8] {GATED}, got [3, 12, 8]",
    ),
    "ungated": (
        {"activation": "silu_no_mul"},
        "gate_up: must have shape [4, 6, 8] (silu_no_mul is not gated, one row for each of down's I), got [4, 12, 8]",
    ),
    "ids of other tokens": ({"ids": IDS[1:]}, "ids: must have shape [3, K], got [2, 2]"),
    "other weights": ({"weights": WEIGHTS[:, :1]}, "weights: must have shape [3, 2], got [3, 1]"),
    "integer hidden": ({"hidden": HIDDEN.int()}, f"hidden: dtype must be {FLOATS}, got torch.int32"),
    "mixed dtypes": ({"down": DOWN.half()}, "down: dtype must be float32 as hidden, got torch.float16"),
    "float ids": ({"ids": IDS.float()}, "ids: dtype must be int32 or int64, got torch.float32"),
    "integer weights": ({"weights": IDS}, f"weights: dtype must be {FLOATS}, got torch.int32"),
    "elsewhere": ({"down": DOWN.to("meta")}, "down: must be on cpu as hidden, got meta"),
    "backend": ({"backend": "marlin"}, "backend: must be one of auto, grouped, decode, torch, got 'marlin'"),
    "kernel for fp32": (
        {"backend": "grouped"},
        "backend: grouped takes bf16 or fp16, got fp32; allowed here: auto, torch",
    ),
    "config of torch": (
        {"backend": "torch", "config": {}},
        "config: the backend torch has no parameters, only grouped and decode have",
    ),
    "no mapping": ({"config": ["num_warps"]}, "config: must map names to values, got ['num_warps']"),
    "block": (
        {"config": {"BLOCK_SIZE_M": 48}},
        "config: BLOCK_SIZE_M=48 is no power of two from 16 to 256",
    ),
    "stages": ({"config": {"num_stages": 0}}, "config: num_stages=0 is not 1 to 8"),
    "switch": ({"config": {"fuse_activation": 2}}, "config: fuse_activation=2 is not one of 0, 1"),
    "text": ({"config": {"num_warps": "4"}}, "config: num_warps must be int, got '4'"),
}


@pytest.mark.parametrize(("changes", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_named_with_what_is_allowed(changes, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        fused_experts(**{**ARGUMENTS, **changes})


def test_an_unknown_activation_and_an_unknown_parameter_are_named():
    with pytest.raises(ValueError, match=r"^activation: must be one of gelu, .* got 'relu'$"):
        fused_experts(**ARGUMENTS, activation="relu")
    with pytest.raises(ValueError, match="'BLOCK_M' is no parameter of experts; it has BLOCK_SIZE_M, "):
        fused_experts(**ARGUMENTS, config={"BLOCK_M": 16})


def test_a_config_may_be_given_where_no_kernel_runs():
    assert not fused_experts(**ARGUMENTS, config={"BLOCK_SIZE_M": 16}).any()


def test_a_kernel_is_not_run_under_a_transform():
    call = {
        name: tensor.bfloat16() if tensor.is_floating_point() else tensor
        for name, tensor in ARGUMENTS.items()
    }
    hidden = torch.stack([call.pop("hidden")] * 2)
    with pytest.raises(ValueError, match="decode takes plain tensors outside"):
        torch.func.vmap(lambda each: fused_experts(each, **call, backend="decode"))(hidden)
