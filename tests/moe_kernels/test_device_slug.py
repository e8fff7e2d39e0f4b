from __future__ import annotations

import pytest

from moe_kernels.device_slug import device_slug


@pytest.mark.parametrize(
    ("reported", "slug"),
    [
        ("NVIDIA B200", "NVIDIA_B200"),
        ("NVIDIA H200", "NVIDIA_H200"),
        ("NVIDIA H200 NVL", "NVIDIA_H200"),
        ("NVIDIA GH200 480GB", "NVIDIA_GH200_480GB"),
        ("NVIDIA A100-SXM4-80GB", "NVIDIA_A100-SXM4-80GB"),
        ("NVIDIA H100 PCIe / NVL", "NVIDIA_H100_PCIe_NVL"),
    ],
)
def test_a_name_becomes_the_slug_that_vllm_makes_of_it(reported, slug):
    assert device_slug(reported) == slug
