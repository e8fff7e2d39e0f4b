"""What a ranking says of every config before anything is compiled: the experts have one, other kernels do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.devices import Device
from workbench.errors import InputError
from workbench.ranking.legality import shared_bytes_of
from workbench.ranking.ranker import rank
from workbench.ranking.workload import PARAMETERS, Workload

RANKED = "experts"
# Where the closed form of shared memory was compared with the compiled kernel; elsewhere the compile decides.
PROVEN = (90, 100, 120)
# Quantised weights run other code: their tiles are packed, or unpacked beside what was loaded.
PROVEN_DTYPES = ("bf16", "fp16")


def has_ranking(kernel: TunableKernel, device: object) -> bool:
    """True where configs of a kernel can be ranked for a device without compiling them."""
    if kernel.name != RANKED or not isinstance(device, Device):
        return False
    return set(PARAMETERS) <= set(kernel.default_config)


def prior(problem: Problem, device: Device, configs: Sequence[Config]) -> NDArray[np.float64] | None:
    """[configs], lower is better, in units of ln time; None for a problem or a GPU that cannot be ranked."""
    try:
        return rank(Workload.of(problem), device, configs)
    except InputError:
        return None


def why_too_large(problem: Problem, device: Device, config: Config) -> str | None:
    """Says how much shared memory a config needs beyond the limit, by the closed form where it is proven."""
    element_bytes = Workload.of(problem).element_bytes
    is_proven = (
        problem["dtype"] in PROVEN_DTYPES
        and device.compute_capability in PROVEN
        and int(config["num_stages"]) >= 2
    )
    needed = shared_bytes_of(config, device.compute_capability, element_bytes)
    limit = device.shared_bytes_per_block
    if not is_proven or needed <= limit:
        return None
    return (
        f"needs {needed:,} bytes of shared memory a block by the closed form, {device.slug} allows {limit:,}"
    )
