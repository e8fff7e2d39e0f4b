"""The models that commands run: random weights of a preset, or a checkpoint; and the assistant beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from moe_kernels.device_slug import device_slug
from workbench.base.errors import InputError
from workbench.models.gemma4 import (
    Gemma4Assistant,
    Gemma4AssistantConfig,
    Gemma4Config,
    Gemma4ForCausalLM,
    load_assistant,
    load_checkpoint,
)
from workbench.models.gemma4.presets import PRESETS

if TYPE_CHECKING:
    from workbench.models.gemma4.layer_types import LayerType

_ASSISTANT_LAYERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        checkpoint: a folder with weights, in the place of the preset.
        layers: layers to keep, None for all.
    """

    preset: str = "26b-a4b"
    checkpoint: Path | None = None
    layers: int | None = None
    device: torch.device
    seed: int = 0

    @property
    def dtype(self) -> torch.dtype:
        """bf16 on a GPU; fp32 on a CPU, where bf16 is slow."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def config(self) -> Gemma4Config:
        """The preset's config, cut to the layers asked for.

        Raises:
            InputError: there is no such preset, or it has fewer layers.
        """
        if self.preset not in PRESETS:
            allowed = ", ".join(PRESETS)
            raise InputError(f"no such model {self.preset!r}; allowed: {allowed}", key="--model")
        config = Gemma4Config.preset(self.preset)  # type: ignore[arg-type]
        try:
            return config if self.layers is None else config.with_layers(self.layers)
        except ValueError as error:
            raise InputError(str(error).removeprefix("layers: "), key="--layers") from error


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model and what rows call it, with its depth where it is cut and whether its weights are random."""

    model: Gemma4ForCausalLM
    name: str


def open_model(source: ModelSource) -> NamedModel:
    """Draws or loads a model.

    Raises:
        InputError: no such preset or depth.
        CheckpointError: the checkpoint cannot be loaded.
    """
    if source.checkpoint is None:
        config = source.config()
        model = Gemma4ForCausalLM.random(config, source.device, source.dtype, source.seed)
        return NamedModel(model, _name(source.preset, config, "random weights"))
    model, _ = load_checkpoint(
        source.checkpoint, device=source.device, dtype=source.dtype, layers=source.layers
    )
    return NamedModel(model, _name(source.checkpoint.resolve().name, model.config))


def _name(name: str, config: Gemma4Config, *more: str) -> str:
    return ", ".join((name, *((config.depth,) if config.is_cut else ()), *more))


def open_assistant(target: Gemma4ForCausalLM, folder: Path | None, seed: int) -> Gemma4Assistant:
    """Loads an assistant, or draws a random one that fits the target; that one's drafts are accepted by chance alone.

    Raises:
        InputError: the assistant was made for another model.
        CheckpointError: the checkpoint cannot be loaded.
    """
    if folder is None:
        return Gemma4Assistant.random(_assistant_config(target.config), target.device, target.dtype, seed)
    assistant, _ = load_assistant(folder, device=target.device, dtype=target.dtype)
    try:
        assistant.config.check_fits(target.config)
    except ValueError as error:
        raise InputError(str(error), file=folder, key="--assistant") from error
    return assistant


def _assistant_config(target: Gemma4Config) -> Gemma4AssistantConfig:
    """Dense layers of the target's shape, as many as Gemma 4's own assistants have, of the kinds that it has."""
    kinds: tuple[LayerType, ...] = tuple(dict.fromkeys(target.layer_types))
    last: LayerType = "full_attention" if "full_attention" in kinds else kinds[0]
    layer_types = (kinds[0],) * (_ASSISTANT_LAYERS - 1) + (last,)
    text = replace(
        target,
        num_hidden_layers=_ASSISTANT_LAYERS,
        layer_types=layer_types,
        enable_moe_block=False,
        # Says that it need not end with a full layer, which a target cut short has none of.
        full_num_hidden_layers=None if last == "full_attention" else _ASSISTANT_LAYERS,
    )
    return Gemma4AssistantConfig(text=text, backbone_hidden_size=target.hidden_size)


def find_torch_device(name: str) -> torch.device:
    """`auto` is the GPU at hand, else the CPU.

    Raises:
        InputError: it is neither that nor `cpu`, `cuda` or `cuda:N`, or there is no such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"{name!r} is no device; allowed: auto, cpu, cuda, cuda:N", key="--device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"{name}: there are {torch.cuda.device_count()} CUDA GPUs here", key="--device")
    return device


def slug_of(device: torch.device) -> str:
    """The name under which results of a device are filed."""
    return device_slug(torch.cuda.get_device_name(device)) if device.type == "cuda" else device.type
