from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def takes_kernel(device):
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
