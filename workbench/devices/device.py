"""What a GPU is, as far as compiling for it and ranking on it need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Of a GPU of which nothing is said; assumed, see the catalogue.
MEMORY_LATENCY_S = 650e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU model.

    Attributes:
        slug: the name that results are filed under, for example `NVIDIA_B200`.
        device_name: the name as CUDA reports it.
        compute_capability: major * 10 + minor, for example 100.
        sm_count: streaming multiprocessors that are enabled.
        clock_ghz: boost clock of the SMs.
        shared_bytes_per_sm: shared memory that resident blocks share, bytes; each block costs 1 KiB extra.
        shared_bytes_per_block: the most that one block may ask for (opt-in limit), bytes.
        registers_per_sm: 32-bit registers.
        max_warps_per_sm: resident warps.
        max_blocks_per_sm: resident thread blocks.
        l2_bytes: L2 cache, bytes.
        memory_bytes: device memory, bytes.
        bandwidth_bytes_per_s: peak device-memory bandwidth.
        memory_latency_s: from a load's issue to its data where many are under way; what a model of bandwidth takes.
        sources: where each of these figures comes from, by field name.
    """

    slug: str
    device_name: str
    aliases: tuple[str, ...]
    compute_capability: int
    sm_count: int
    clock_ghz: float
    shared_bytes_per_sm: int
    shared_bytes_per_block: int
    registers_per_sm: int
    max_warps_per_sm: int
    max_blocks_per_sm: int
    l2_bytes: int
    memory_bytes: int
    bandwidth_bytes_per_s: float
    memory_latency_s: float = MEMORY_LATENCY_S
    sources: Mapping[str, str] = field(repr=False, hash=False)

    @property
    def arch(self) -> str:
        """The architecture as results name it, for example `sm_100`."""
        return f"sm_{self.compute_capability}"
