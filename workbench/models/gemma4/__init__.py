"""Gemma 4 (26B-A4B) in plain torch, with parameter names as in the checkpoint routing by `moe_kernels`."""

from __future__ import annotations

from workbench.models.gemma4.config import Gemma4Config, RopeParameters
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.moe import Gemma4MoE
from workbench.models.gemma4.norm import Gemma4RMSNorm
from workbench.models.gemma4.router import Gemma4Router

__all__ = [
    "Gemma4Config",
    "Gemma4Experts",
    "Gemma4MoE",
    "Gemma4RMSNorm",
    "Gemma4Router",
    "RopeParameters",
]
