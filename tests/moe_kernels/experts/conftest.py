from __future__ import annotations

import os

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") == "1":
    from workbench.sweep.stages.interpreter import support_bfloat16, support_e4m3_scales, support_loop_bounds

    support_bfloat16()
    support_loop_bounds()
    support_e4m3_scales()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def takes_kernel(device):
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
