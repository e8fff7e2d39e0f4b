"""Gemma 4 (26B-A4B) in plain torch, with parameter names as in the checkpoint and routing by `moe_kernels`."""

from __future__ import annotations

from workbench.models.gemma4.assistant import Gemma4Assistant
from workbench.models.gemma4.assistant_config import Gemma4AssistantConfig
from workbench.models.gemma4.checkpoint import CheckpointReport, load_assistant, load_checkpoint
from workbench.models.gemma4.checkpoint_error import CheckpointError
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.generation import Generation, GenerationStats
from workbench.models.gemma4.layer import Gemma4DecoderLayer
from workbench.models.gemma4.layer_types import RopeParameters
from workbench.models.gemma4.memory import MemoryFootprint, memory_footprint
from workbench.models.gemma4.model import Gemma4ForCausalLM
from workbench.models.gemma4.moe import Gemma4MoE
from workbench.models.gemma4.norm import Gemma4RMSNorm
from workbench.models.gemma4.router import Gemma4Router

__all__ = [
    "CheckpointError",
    "CheckpointReport",
    "Gemma4Assistant",
    "Gemma4AssistantConfig",
    "Gemma4Config",
    "Gemma4DecoderLayer",
    "Gemma4Experts",
    "Gemma4ForCausalLM",
    "Gemma4MoE",
    "Gemma4RMSNorm",
    "Gemma4Router",
    "Generation",
    "GenerationStats",
    "MemoryFootprint",
    "RopeParameters",
    "load_assistant",
    "load_checkpoint",
    "memory_footprint",
]
