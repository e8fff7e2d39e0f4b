"""How a device's name becomes the name that its results are filed under."""

from __future__ import annotations

import re


def device_slug(name: str) -> str:
    """The slug of a name that CUDA reports: vLLM's rule, under which every H200 variant is one device.

    Example:
        >>> device_slug("NVIDIA H200 NVL"), device_slug("NVIDIA GH200 480GB")
        ('NVIDIA_H200', 'NVIDIA_GH200_480GB')
    """
    slug = re.sub(r"[\s/]+", "_", name)
    return "NVIDIA_H200" if "H200" in slug.split("_") else slug
