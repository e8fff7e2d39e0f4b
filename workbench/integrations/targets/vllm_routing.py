"""vLLM's Gemma 4 routing kernel as a sweep target: `vllm/model_executor/models/gemma4.py`."""

from __future__ import annotations

from importlib import import_module

from moe_kernels.tunable import TunableKernel
from workbench.integrations.targets.routing import routing_target


def describe(name: str) -> TunableKernel:
    """The kernel that `gemma4_fused_routing_kernel_triton` launches."""
    return routing_target(name, import_module("vllm.model_executor.models.gemma4")._gemma4_routing_kernel)
