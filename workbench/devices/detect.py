"""The GPU at hand, as CUDA and its driver report it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from moe_kernels.device_slug import device_slug
from workbench.devices.catalogue import catalogue
from workbench.devices.device import Device

AS_REPORTED = "as CUDA reports it on this machine"
# Of a whole GPU the nominal figures say more: CUDA leaves out reserved memory, and names clocks never held.
NOMINAL = ("clock_ghz", "memory_bytes", "bandwidth_bytes_per_s")


@dataclass(frozen=True, slots=True)
class DetectedGpu:
    """What CUDA says of the GPU at hand.

    Attributes:
        compute_capability: major * 10 + minor.
        figures: the fields of `Device` that CUDA reports, in their units; unknown ones are left out.
    """

    device_name: str
    compute_capability: int
    figures: Mapping[str, Any]


def detect_gpu() -> DetectedGpu | None:
    """Reads CUDA's current NVIDIA GPU through torch; None where there is none. Never raises."""
    if not driver_installed():
        return None
    try:
        import torch

        if torch.version.cuda is None or not torch.cuda.is_available():
            return None
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        return _reported(properties)
    except Exception:
        # A broken driver shows in many ways, all of which mean that there is no GPU to use.
        return None


def detect_device() -> Device | None:
    """The GPU at hand as a device; None where there is none. Never raises.

    A GPU of the catalogue keeps its nominal figures, unless it has another number of SMs than it should (a
    slice of one): then, as for an unknown GPU, every figure is CUDA's own. The sources say which is which.
    """
    gpu = detect_gpu()
    if gpu is None:
        return None
    slug = device_slug(gpu.device_name)
    known = next((device for device in catalogue() if device.slug == slug), None)
    return _known(gpu, known) if known else _unknown(gpu, slug)


def detect_gpu_ids() -> tuple[str, ...]:
    """The GPUs of the kind at hand, that one first, as `CUDA_VISIBLE_DEVICES` names them. Never raises."""
    if not driver_installed():
        return ()
    try:
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        first = torch.cuda.current_device() if names else 0
    except Exception:
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = visible.split(",") if visible else [str(index) for index in range(len(names))]
    same = [index for index, name in enumerate(names) if name == names[first]]
    return tuple(ids[index].strip() for index in sorted(same, key=lambda index: (index != first, index)))


def driver_installed() -> bool:
    """Whether there is an NVIDIA driver to load; without one, no GPU is, and torch need not be asked."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def driver_version() -> str | None:
    """The NVIDIA driver's version, from NVML; None where there is no driver. Never raises."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            version = pynvml.nvmlSystemGetDriverVersion()
        finally:
            pynvml.nvmlShutdown()
    except Exception:
        # Without a driver NVML raises its own errors, without its library the loader's.
        return None
    return version.decode() if isinstance(version, bytes) else str(version)


def _reported(properties: Any) -> DetectedGpu:
    def of(name: str) -> int:
        return int(getattr(properties, name, 0) or 0)

    figures = {
        "sm_count": of("multi_processor_count"),
        "clock_ghz": of("clock_rate") / 1e6,
        "shared_bytes_per_sm": of("shared_memory_per_multiprocessor"),
        "shared_bytes_per_block": of("shared_memory_per_block_optin"),
        "registers_per_sm": of("regs_per_multiprocessor"),
        "max_warps_per_sm": of("max_threads_per_multi_processor") // (of("warp_size") or 32),
        "l2_bytes": of("L2_cache_size"),
        "memory_bytes": of("total_memory"),
        # Two transfers a clock, whatever the kind of memory; CUDA reports kHz and bits.
        "bandwidth_bytes_per_s": of("memory_clock_rate") * 1e3 * 2 * of("memory_bus_width") / 8,
    }
    return DetectedGpu(
        device_name=str(properties.name),
        compute_capability=of("major") * 10 + of("minor"),
        figures={name: value for name, value in figures.items() if value > 0},
    )


def _known(gpu: DetectedGpu, entry: Device) -> Device:
    whole = gpu.figures.get("sm_count", entry.sm_count) == entry.sm_count
    differing: dict[str, Any] = {
        name: value
        for name, value in gpu.figures.items()
        if value != getattr(entry, name) and not (whole and name in NOMINAL)
    }
    sources = {**entry.sources, **dict.fromkeys(differing, AS_REPORTED)}
    return replace(entry, device_name=gpu.device_name, sources=sources, **differing)


def _unknown(gpu: DetectedGpu, slug: str) -> Device:
    nearest = min(
        catalogue(),
        key=lambda device: (
            abs(device.compute_capability - gpu.compute_capability),
            abs(device.sm_count - gpu.figures.get("sm_count", 0)),
        ),
    )
    borrowed = dict.fromkeys(
        nearest.sources, f"not reported on this machine; taken to be that of {nearest.slug}"
    )
    return replace(
        nearest,
        slug=slug,
        device_name=gpu.device_name,
        aliases=(),
        compute_capability=gpu.compute_capability,
        sources={**borrowed, **dict.fromkeys(gpu.figures, AS_REPORTED)},
        **gpu.figures,
    )
