from __future__ import annotations

from functools import cache

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not a_gpu_is_at_hand():
        pytest.skip("needs a CUDA GPU")


@cache
def a_gpu_is_at_hand():
    import torch

    return torch.cuda.is_available()
