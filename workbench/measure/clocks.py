"""Reads a GPU's clock, power and throttle reasons through NVML. Nothing here ever sets anything.

Where NVML or its Python binding (`nvidia-ml-py`) is missing, or the GPU cannot be found in it, the reader is
a null one that says why and reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

# nvml.h, nvmlClocksEventReasons (called nvmlClocksThrottleReasons in older releases). The words are ours.
REASONS: Mapping[int, str] = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}

# The reasons that slow a busy GPU down from one moment to the next; the others are settings or idleness.
HARMFUL = frozenset(
    {"sw_power_cap", "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"}
)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What NVML said at one moment.

    Attributes:
        sm_mhz: SM clock in MHz, None where unknown.
        reasons: why the clocks are where they are, in words; all of NVML's reasons, harmless ones too.
        power_w: power draw in watts, None where unknown.
    """

    sm_mhz: int | None = None
    reasons: tuple[str, ...] = ()
    power_w: float | None = None

    @property
    def throttled(self) -> tuple[str, ...]:
        """The reasons among them that slow a busy GPU down."""
        return tuple(reason for reason in self.reasons if reason in HARMFUL)


class ClockReader(Protocol):
    """Whatever can read a GPU's clocks."""

    @property
    def driver(self) -> str | None:
        """The driver's version, None where unknown."""
        ...

    def read(self) -> ClockReading:
        """Reads the clocks now."""
        ...


class _Closing:
    """Closes itself at the end of a `with` block."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back what the reader holds; here nothing."""


@dataclass(frozen=True, slots=True)
class NullClocks(_Closing):
    """Reads nothing.

    Attributes:
        why: why nothing can be read, in one line.
    """

    why: str = "clocks were not asked for"
    driver: str | None = None

    def read(self) -> ClockReading:
        """An empty reading."""
        return ClockReading()


class NvmlClocks(_Closing):
    """Reads one GPU's clocks through an initialised NVML binding."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.driver: str | None = _text(self._ask("nvmlSystemGetDriverVersion"))

    def read(self) -> ClockReading:
        """Reads SM clock, reasons and power; what this GPU does not report is None or empty."""
        milliwatts = self._ask("nvmlDeviceGetPowerUsage", self._handle)
        return ClockReading(
            sm_mhz=self._ask("nvmlDeviceGetClockInfo", self._handle, self._nvml.NVML_CLOCK_SM),
            reasons=decode_reasons(self._reason_bits()),
            power_w=None if milliwatts is None else milliwatts / 1000.0,
        )

    def energy_j(self) -> float | None:
        """Joules that the GPU has used since the driver was loaded, None where it does not count them."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle)
        return None if millijoules is None else millijoules / 1000.0

    def close(self) -> None:
        """Gives NVML back; reading afterwards yields empty readings."""
        self._ask("nvmlShutdown")

    def _reason_bits(self) -> int:
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            if (bits := self._ask(name, self._handle)) is not None:
                return int(bits)
        return 0

    def _ask(self, name: str, *arguments: Any) -> Any:
        """Calls an NVML function; None where the binding lacks it or the GPU does not support it."""
        function: Callable[..., Any] | None = getattr(self._nvml, name, None)
        if function is not None:
            with suppress(self._nvml.NVMLError):
                return function(*arguments)
        return None


def decode_reasons(bits: int) -> tuple[str, ...]:
    """NVML's clock-event reasons in words; a bit that is not in the table comes out as `unknown_0x...`."""
    set_bits = [1 << place for place in range(bits.bit_length()) if bits >> place & 1]
    return tuple(REASONS.get(bit, f"unknown_{bit:#x}") for bit in set_bits)


def open_clocks(device: Any = "cuda") -> NvmlClocks | NullClocks:
    """Opens a reader for a CUDA device.

    NVML counts all GPUs of the machine in its own order and does not know CUDA_VISIBLE_DEVICES, so the device
    is found by its UUID, else by its PCI address, never by its index.

    Args:
        device: a torch device, its name or its index.

    Returns:
        A reader, which `with` closes; a null one, which says why, where NVML cannot read this GPU. Never
        raises.
    """
    try:
        import pynvml
    except ImportError:
        return NullClocks("the Python package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return NullClocks(f"NVML does not answer: {error}")
    return _open_device(pynvml, device)


def _open_device(nvml: Any, device: Any) -> NvmlClocks | NullClocks:
    try:
        handle = _find(nvml, _cuda_properties(device))
    except (RuntimeError, AssertionError, ValueError) as error:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
        return NullClocks(f"no CUDA device {device}: {' '.join(str(error).split())}")
    if handle is None:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
        return NullClocks(f"NVML does not list the CUDA device {device}")
    return NvmlClocks(nvml, handle)


def _cuda_properties(device: Any) -> Any:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch sees no CUDA GPU")
    return torch.cuda.get_device_properties(device)


def _find(nvml: Any, properties: Any) -> Any:
    """The NVML handle of a CUDA device's properties, or None."""
    for function, name in _identities(properties):
        with suppress(nvml.NVMLError):
            return getattr(nvml, function)(name)
    return None


def _identities(properties: Any) -> list[tuple[str, str]]:
    found = []
    if uuid := str(getattr(properties, "uuid", "") or ""):
        prefixed = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        found.append(("nvmlDeviceGetHandleByUUID", prefixed))
    bus = getattr(properties, "pci_bus_id", None)
    if isinstance(bus, int):
        domain, slot = getattr(properties, "pci_domain_id", 0), getattr(properties, "pci_device_id", 0)
        found.append(("nvmlDeviceGetHandleByPciBusId", f"{domain:08x}:{bus:02x}:{slot:02x}.0"))
    return found


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
