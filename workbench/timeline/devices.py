"""The GPUs of a trace: how they are told apart, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def device_labels(devices: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """A label for each pair of process and number: the number, with the process where that alone is ambiguous."""
    numbers = [number for _, number in devices]
    return tuple(
        process if number < 0 else f"{number}" if numbers.count(number) == 1 else f"{process}:{number}"
        for process, number in devices
    )


def device_names(properties: Any, devices: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """What the file calls the GPUs that worked; empty where it does not say.

    Args:
        properties: `deviceProperties` of the file, which may hold anything.
        devices: process and number of each.
    """
    listed = [each for each in properties if isinstance(each, dict)] if isinstance(properties, list) else []
    names = [each.get("name") for _, number in devices for each in listed if each.get("id") == number]
    if not names and len(listed) == len(devices) == 1:
        # Kernels number all GPUs of the machine, properties may number those that the process sees.
        names = [listed[0].get("name")]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
