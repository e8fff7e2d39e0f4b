"""Finds what a checkpoint says of its quantisation, by the method that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.models.gemma4.checkpoint.quantisation.compressed_tensors import read_compressed_tensors
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.methods import (
    read_awq,
    read_fine_grained,
    read_gptq,
    read_modelopt,
)
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation
from workbench.models.gemma4.safetensors_folder import read_json

METHODS: Mapping[str, Callable[[Fields], Quantisation]] = {
    "compressed-tensors": read_compressed_tensors,
    "modelopt": read_modelopt,
    "modelopt_fp4": read_modelopt,
    "fp8": read_fine_grained,
    "gptq": read_gptq,
    "awq": read_awq,
}
# Methods with layouts of their own, by the names under which people know them.
OTHERS: Mapping[str, str] = {
    "auto-round": "AutoRound",
    "autoround": "AutoRound",
    "intel/auto-round": "AutoRound",
    "bitsandbytes": "bitsandbytes",
    "mxfp4": "MXFP4",
}
_KEYS = ("quantization_config", "compression_config")
_MODELOPT_FILE = "hf_quant_config.json"


def read_quantisation(folder: Path, config: Mapping[str, Any]) -> Quantisation | None:
    """What a checkpoint's config says, or ModelOpt's file beside it; None where neither says anything.

    Raises:
        CheckpointError: the method or one of its settings is unknown or not read; names the file and key.
    """
    path = folder / "config.json"
    for holder in (config, config.get("text_config")):
        for key in _KEYS if isinstance(holder, Mapping) else ():
            if found := Fields(holder or {}, path, "").inner(key):
                return _read(found)
    if (folder / _MODELOPT_FILE).exists():
        return read_modelopt(Fields(read_json(folder / _MODELOPT_FILE), folder / _MODELOPT_FILE, ""))
    return None


def _read(fields: Fields) -> Quantisation:
    method = fields.get("quant_method")
    known = OTHERS.get(method) if isinstance(method, str) else None
    note = f": {known}'s own layout is not read" if known else ""
    found: Quantisation = fields.choose("quant_method", METHODS, note)(fields)
    return found
