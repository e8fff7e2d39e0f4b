"""Makes Triton compile for a GPU that is not there, and reads machine code's needs from its cubin."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def set_target(compute_capability: int) -> None:
    """Makes Triton compile for a GPU of this capability (major * 10 + minor), in this process, from now on."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    driver.set_active(_StandInDriver(GPUTarget("cuda", compute_capability, 32)))


class _StandInDriver:
    """As much of a Triton driver as compiling asks of it."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def get_current_device(self) -> int:
        # Triton keeps compiled kernels by device number; under one number the first target's would come back.
        return int(self._target.arch)

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        return self._target


def registers_and_stack(cubin: bytes) -> tuple[int, int]:
    """Registers a thread, and bytes of stack a thread (spills among them), as `cuobjdump -res-usage` reads them.

    Raises:
        RuntimeError: the tool named none.
    """
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        report = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", report)
    if found is None:
        raise RuntimeError(f"cuobjdump reported no resource usage: {report[:200]!r}")
    return int(found[1]), int(found[2])
