from __future__ import annotations

import torch
from hypothesis import given, settings

from moe_kernels.activation import Activation
from moe_kernels.experts import ExpertsCall, reference_experts
from tests.moe_kernels.experts.cases import calls
from tests.moe_kernels.experts.oracle import assert_mixed

NAMES = ("hidden", "gate_up", "down", "weights", "ids")


@settings(max_examples=60, deadline=None)
@given(calls(dtypes=(torch.bfloat16, torch.float16, torch.float32, torch.float64)))
def test_reference_gives_what_the_oracle_gives(call):
    tensors, activation = call
    out = reference_experts(
        ExpertsCall(**dict(zip(NAMES, tensors, strict=True)), activation=Activation(activation))
    )
    assert_mixed(out, tensors, activation)
