"""What a ranking says of every config before anything is compiled: the experts have one, other kernels do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.base.errors import InputError
from workbench.devices import Device
from workbench.ranking.grid import VALUES
from workbench.ranking.legality import shared_bytes_of
from workbench.ranking.ranker import rank
from workbench.ranking.workload import PARAMETERS, Workload

RANKED = "experts"
# Where `benchmarks/screen.py` compared the closed form of shared memory with the compiled kernel, over all tiles.
PROVEN = (90, 100, 120)
# Quantised weights run other code: their tiles are packed, or unpacked beside what was loaded.
PROVEN_DTYPES = ("bf16", "fp16")
# Strides that are no multiples of this are loaded element by element, which Triton does not pipeline.
VECTORISED = 16


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


def is_proven(problem: Problem, device: Device, config: Config) -> bool:
    """True where the closed form of shared memory was compared with the compiled kernel; else the compile decides.

    That is for 16-bit elements on some architectures, over the values of the engines' grid, and for hidden sizes that
    are multiples of 16: then the first of the two products needs no less than the closed form, and the second no more.
    """
    in_grid = all(name == "GROUP_SIZE_M" or config[name] in values for name, values in VALUES.items())
    is_vectorised = int(problem["hidden_size"]) % VECTORISED == 0
    is_known = device.compute_capability in PROVEN and problem["dtype"] in PROVEN_DTYPES
    return in_grid and is_vectorised and is_known


def why_too_large(problem: Problem, device: Device, config: Config) -> str | None:
    """Says how much shared memory a config needs beyond the limit, by the closed form where it is proven."""
    needed = shared_bytes_of(config, device.compute_capability, Workload.of(problem).element_bytes)
    limit = device.shared_bytes_per_block
    if needed <= limit or not is_proven(problem, device, config):
        return None
    return (
        f"needs {needed:,} bytes of shared memory a block by the closed form, {device.slug} allows {limit:,}"
    )
