from __future__ import annotations

import pytest

from moe_kernels.tuned import device_slug
from workbench.devices import catalogue, slug_of


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
    assert slug_of(reported) == slug


def test_the_run_time_lookup_files_every_device_under_the_same_slug():
    names = [device.device_name for device in catalogue()] + ["NVIDIA H200 NVL", "NVIDIA GH200 480GB"]
    assert [slug_of(name) for name in names] == [device_slug(name) for name in names]
