"""SGLang's Gemma 4 routing kernel as a sweep target: `sglang/kernels/ops/moe/gemma4_routing.py`."""

from __future__ import annotations

from importlib import import_module

from moe_kernels.tunable import TunableKernel
from workbench.integrations.targets.routing import routing_target


def describe(name: str) -> TunableKernel:
    """The kernel that `gemma4_fused_routing` launches."""
    return routing_target(name, import_module("sglang.kernels.ops.moe.gemma4_routing")._gemma4_routing_kernel)
