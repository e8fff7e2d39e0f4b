"""What a shell completes values to; whatever takes time to import is imported on the key press alone."""

from __future__ import annotations

from collections.abc import Iterable

# The names of presets and arms; to ask for them takes seconds of importing torch.
MODELS = ("26b-a4b", "tiny")
ARMS = ("split", "fused", "tuned")


def sweep_names(incomplete: str) -> list[str]:
    """Shipped sweeps; the shell adds files where none fits."""
    from workbench.base.shipped import shipped_sweeps

    return fitting(shipped_sweeps(), incomplete)


def workload_names(incomplete: str) -> list[str]:
    """Shipped workloads."""
    from workbench.base.shipped import shipped_workloads

    return fitting(shipped_workloads(), incomplete)


def device_names(incomplete: str) -> list[str]:
    """Slugs and aliases of the catalogue."""
    from workbench.devices import catalogue

    return fitting((name for device in catalogue() for name in (device.slug, *device.aliases)), incomplete)


def kernel_names(incomplete: str) -> list[str]:
    """Shipped kernels."""
    from moe_kernels.registry import TUNABLES

    return fitting(TUNABLES, incomplete)


def model_names(incomplete: str) -> list[str]:
    """Presets."""
    return fitting(MODELS, incomplete)


def arm_names(incomplete: str) -> list[str]:
    """Arms that a list `A,B` does not have yet."""
    *had, last = incomplete.split(",")
    return [",".join((*had, name)) for name in fitting(ARMS, last) if name not in had]


def fitting(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin so."""
    return [name for name in names if name.startswith(incomplete)]
