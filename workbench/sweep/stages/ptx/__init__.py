"""What a kernel's PTX says of it: instructions, chains of dependences, loops, and bytes in flight."""

from workbench.sweep.stages.ptx.instructions import KINDS
from workbench.sweep.stages.ptx.profile import LATENCY_CYCLES, PtxProfile, profile
from workbench.sweep.stages.ptx.values import Given

__all__ = ["KINDS", "LATENCY_CYCLES", "Given", "PtxProfile", "profile"]
