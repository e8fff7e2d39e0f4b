"""Loads local safetensors folders, one tensor at a time, straight into the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from workbench.models.gemma4.assistant import Gemma4Assistant
from workbench.models.gemma4.assistant_config import Gemma4AssistantConfig
from workbench.models.gemma4.checkpoint.plan import Plan, Planner
from workbench.models.gemma4.checkpoint.quantisation import read_quantisation
from workbench.models.gemma4.checkpoint.report import CheckpointReport
from workbench.models.gemma4.checkpoint_error import CheckpointError
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.model import Gemma4ForCausalLM
from workbench.models.gemma4.safetensors_folder import (
    Header,
    open_tensors,
    read_headers,
    read_json,
    tensor_files,
)
from workbench.models.gemma4.weights import materialise

Model = TypeVar("Model", Gemma4ForCausalLM, Gemma4Assistant)
Parsed = TypeVar("Parsed")

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def load_checkpoint(
    folder: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    layers: int | None = None,
) -> tuple[Gemma4ForCausalLM, CheckpointReport]:
    """Loads a text model, also out of a model that has more than text.

    Experts keep the format in which the checkpoint has them; other quantised weights are dequantised to `dtype`. How
    they are quantised is what the config says, and must agree with the tensors. Holds no more than the model and one
    shard at a time.

    Args:
        folder: `config.json` and `model.safetensors`, or shards with `model.safetensors.index.json`.
        device: where the weights go.
        dtype: of the weights that are not held in a format; None keeps what the config says.
        layers: layers to load, from the first; None takes all.

    Returns:
        The model and what became of each tensor.

    Raises:
        CheckpointError: a file is missing, damaged or outside the folder, a tensor is missing or of another
            shape or dtype, a scale is no number, or the checkpoint is quantised in a way that is not read; names the
            file and the tensor or key.
    """
    path = Path(folder)
    fields = read_json(path / "config.json")
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
    fields = read_json(path / "config.json")
    config = _parse(path, Gemma4AssistantConfig.from_hf, fields)
    text, model = config.text, Gemma4Assistant(config, device="meta")
    return _load(path, fields, model, device, dtype, depth=text.depth, tied=text.tie_word_embeddings)


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
    headers, unknown = read_headers(folder, files)
    plan = Planner(folder, model, read_quantisation(folder, fields)).make(headers.values())
    dtype = dtype or _own_dtype(folder, fields)
    materialise(model.to(dtype), torch.device(torch.get_default_device() if device is None else device))
    _read(folder, files, headers, plan)
    return model.eval(), CheckpointReport(
        folder=folder,
        used={name: files[name] for name in plan.targets},
        unused=plan.unused | dict.fromkeys(unknown, "the index does not name it"),
        dtype=str(dtype).removeprefix("torch."),
        depth=depth,
        tied=tied,
        formats=plan.formats,
        dequantised=plan.dequantised,
        notes=tuple(plan.notes),
    )


@torch.no_grad()
def _read(folder: Path, files: Mapping[str, str], headers: Mapping[str, Header], plan: Plan) -> None:
    for name, tensor in open_tensors(folder, {name: files[name] for name in files if name in plan.targets}):
        plan.targets[name].take(headers[name], tensor())


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
