"""The GPU catalogue and what GPU is at hand."""

from __future__ import annotations

from workbench.devices.catalogue import catalogue, find_device, load_device
from workbench.devices.detect import DetectedGpu, detect_device, detect_gpu, driver_installed, driver_version
from workbench.devices.device import Device

__all__ = [
    "DetectedGpu",
    "Device",
    "catalogue",
    "detect_device",
    "detect_gpu",
    "driver_installed",
    "driver_version",
    "find_device",
    "load_device",
]
