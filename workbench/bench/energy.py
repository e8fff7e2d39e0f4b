"""The energy that a GPU has used, from NVML's counter. Nothing here ever sets anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.bench.engine import EnergyMeter, NoEnergy
from workbench.measure.clocks import NvmlClocks, open_clocks


class NvmlEnergy:
    """Reads the counter of one GPU: millijoules since the driver was loaded (Volta and newer)."""

    def __init__(self, clocks: NvmlClocks) -> None:
        self._clocks = clocks

    def joules(self) -> float | None:
        """Joules since the driver was loaded, None where this GPU does not count them."""
        return self._clocks.energy_j()


@contextmanager
def open_energy(device: Any = "cuda") -> Iterator[EnergyMeter]:
    """A meter for a CUDA device; one that knows nothing where NVML cannot read it. Never raises."""
    with open_clocks(device) as clocks:
        yield NvmlEnergy(clocks) if isinstance(clocks, NvmlClocks) else NoEnergy()
