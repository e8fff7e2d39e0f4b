"""Reads local safetensors folders, quantised or not, straight into the model."""

from workbench.models.gemma4.checkpoint.load import load_assistant, load_checkpoint
from workbench.models.gemma4.checkpoint.report import CheckpointReport

__all__ = ["CheckpointReport", "load_assistant", "load_checkpoint"]
