"""Reads local safetensors folders as transformers saves them, one tensor at a time, straight into the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from workbench.models.gemma4.assistant import Gemma4Assistant
from workbench.models.gemma4.assistant_config import Gemma4AssistantConfig
from workbench.models.gemma4.checkpoint_error import CheckpointError
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.model import Gemma4ForCausalLM
from workbench.models.gemma4.safetensors_folder import open_tensors, read_json, tensor_files
from workbench.models.gemma4.weights import materialise

Model = TypeVar("Model", Gemma4ForCausalLM, Gemma4Assistant)

# Where a text model sits inside the model of text, images and sound, in both orders that have been in use.
_PREFIXES = (
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
)
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_QUANTISED = re.compile(
    r"[._](packed|scale|scale_2|scale_inv|global_scale|zero_point|qweight|qzeros|scales)$"
)
# Names that end like a quantised weight's companions and are none.
_PLAIN_SCALES = ("router.scale", "router.per_expert_scale")
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointReport:
    """What a load did with each tensor.

    Attributes:
        folder: what was read.
        used: files by name of tensor, as it is in the checkpoint.
        unused: reasons by name of tensor, for those that are no part of the model.
        dtype: of the loaded weights.
        depth: of the model, as `Gemma4Config.depth`.
        tied: whether the output projection is the embedding.
    """

    folder: Path
    used: Mapping[str, str]
    unused: Mapping[str, str]
    dtype: str
    depth: str
    tied: bool


def load_checkpoint(
    folder: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    layers: int | None = None,
) -> tuple[Gemma4ForCausalLM, CheckpointReport]:
    """Loads a text model, also out of a model that has more than text.

    Holds no more than the model and one tensor at a time.

    Args:
        folder: `config.json` and `model.safetensors`, or shards with `model.safetensors.index.json`.
        device: where the weights go.
        dtype: of the weights; None keeps what the config says.
        layers: layers to load, from the first; None takes all.

    Returns:
        The model and what became of each tensor.

    Raises:
        CheckpointError: a file is missing, damaged or outside the folder, a tensor is missing or of another
            shape, or the checkpoint is quantised; names the file and the tensor or key.
    """
    path = Path(folder)
    fields = _read_config(path)
    if fields.get("model_type") == "gemma4_assistant":
        raise CheckpointError(
            "must be a text model, got 'gemma4_assistant'; load_assistant reads those",
            file=path / "config.json",
            key="model_type",
        )
    config = _parse(path, Gemma4Config.from_hf, fields)
    config = config if layers is None else config.with_layers(layers)
    model = _parse(path, lambda _: Gemma4ForCausalLM(config, device="meta"), fields)
    return _load(path, fields, model, device, dtype, depth=config.depth, tied=config.tie_word_embeddings)


def load_assistant(
    folder: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Gemma4Assistant, CheckpointReport]:
    """Loads an assistant; arguments, result and errors as in `load_checkpoint`."""
    path = Path(folder)
    fields = _read_config(path)
    config = _parse(path, Gemma4AssistantConfig.from_hf, fields)
    text, model = config.text, Gemma4Assistant(config, device="meta")
    return _load(path, fields, model, device, dtype, depth=text.depth, tied=text.tie_word_embeddings)


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    fields = read_json(path)
    for holder in (fields, fields.get("text_config")):
        if isinstance(holder, Mapping) and (found := holder.get("quantization_config")) is not None:
            method = found.get("quant_method", "unknown") if isinstance(found, Mapping) else found
            raise CheckpointError(
                f"must be absent, only unquantised checkpoints are read, got {method!r}",
                file=path,
                key="quantization_config",
            )
    return fields


Parsed = TypeVar("Parsed")


def _parse(folder: Path, read: Callable[[Mapping[str, Any]], Parsed], fields: Mapping[str, Any]) -> Parsed:
    try:
        return read(fields)
    except ValueError as error:
        raise CheckpointError(str(error), file=folder / "config.json") from None


def _load(
    folder: Path,
    fields: Mapping[str, Any],
    model: Model,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    *,
    depth: str,
    tied: bool,
) -> tuple[Model, CheckpointReport]:
    files = tensor_files(folder)
    _refuse_quantised(folder, files)
    dtype = dtype or _own_dtype(folder, fields)
    place = torch.device(torch.get_default_device() if device is None else device)
    materialise(model.to(dtype), place)
    reading = _Reading(folder, model)
    for name, tensor in open_tensors(folder, files):
        reading.take(name, tensor, files[name])
    reading.check_complete()
    return model.eval(), CheckpointReport(
        folder=folder,
        used=reading.used,
        unused=reading.unused,
        dtype=str(dtype).removeprefix("torch."),
        depth=depth,
        tied=tied,
    )


def _refuse_quantised(folder: Path, files: Mapping[str, str]) -> None:
    for name, file in files.items():
        if _QUANTISED.search(name) and not name.endswith(_PLAIN_SCALES) and _own_name(name):
            raise CheckpointError(
                "belongs to a quantised weight, only unquantised checkpoints are read",
                file=folder / file,
                key=name,
            )


def _own_dtype(folder: Path, fields: Mapping[str, Any]) -> torch.dtype:
    """What the config says, in its newer or older spelling, of the text model or the whole."""
    text = fields.get("text_config")
    for holder in (text if isinstance(text, Mapping) else {}, fields):
        for key in ("dtype", "torch_dtype"):
            if holder.get(key) is not None:
                if holder[key] not in _DTYPES:
                    allowed = ", ".join(_DTYPES)
                    raise CheckpointError(
                        f"must be one of {allowed}, got {holder[key]!r}", file=folder / "config.json", key=key
                    )
                return _DTYPES[holder[key]]
    raise CheckpointError("missing, and no dtype was asked for", file=folder / "config.json", key="dtype")


def _own_name(name: str) -> str | None:
    """The tensor's name in a text model or assistant; None where it belongs to neither."""
    for prefix, own in _PREFIXES:
        if name.startswith(prefix):
            return own + name.removeprefix(prefix)
    owned = ("model.", "lm_head.", "pre_projection.", "post_projection.", "masked_embedding.")
    foreign = ("model.vision_tower.", "model.audio_tower.", "model.embed_vision.", "model.embed_audio.")
    return name if name.startswith(owned) and not name.startswith(foreign) else None


@dataclass(slots=True)
class _Reading:
    """A model being filled; `model` has memory but no content yet."""

    folder: Path
    model: nn.Module
    used: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    _targets: dict[str, Tensor] = field(default_factory=dict)
    _filled: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._targets = dict(self.model.state_dict(keep_vars=True))

    @torch.no_grad()
    def take(self, name: str, tensor: Callable[[], Tensor], file: str) -> None:
        """Copies a tensor of the checkpoint to where it belongs, or notes why it belongs nowhere."""
        own = _own_name(name)
        target = self._targets.get(own or "")
        if own is None or target is None:
            self.unused[name] = self._why_unused(own)
            return
        value = tensor()
        self._check(name, value, target, file)
        if (earlier := self._filled.get(id(target))) is None:
            target.copy_(value)
        elif not torch.equal(value.to(target), target):
            raise CheckpointError(
                f"must equal {earlier}, to which the config ties it", file=self.folder / file, key=name
            )
        self._filled[id(target)] = name
        self.used[name] = file

    def _why_unused(self, own: str | None) -> str:
        if own is None:
            return "no part of the text model"
        layer = _LAYER.match(own)
        depth = len(self.model.model.layers)  # type: ignore[union-attr, arg-type]
        if layer and int(layer[1]) >= depth:
            return f"layer {layer[1]} is beyond the {depth} layers that were loaded"
        return "the model has no such tensor"

    def _check(self, name: str, value: Tensor, target: Tensor, file: str) -> None:
        if value.shape != target.shape:
            raise CheckpointError(
                f"must have shape {list(target.shape)}, got {list(value.shape)}",
                file=self.folder / file,
                key=name,
            )
        if target.is_floating_point() and value.dtype not in (*_DTYPES.values(), torch.float64):
            raise CheckpointError(
                f"must be one of {', '.join(_DTYPES)}, got {str(value.dtype).removeprefix('torch.')}",
                file=self.folder / file,
                key=name,
            )

    def check_complete(self) -> None:
        """Raises CheckpointError unless every tensor of the model was filled."""
        missing = [name for name, target in self._targets.items() if id(target) not in self._filled]
        if missing:
            more = f", and {len(missing) - 1} more tensors" if missing[1:] else ""
            raise CheckpointError(f"missing{more}", file=self.folder, key=missing[0])
