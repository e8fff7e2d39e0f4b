"""A folder of safetensors files: which tensor is in which file, and the tensors one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.models.gemma4.checkpoint_error import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of a tensor before it is read.

    Attributes:
        dtype: of the tensor; None for one that is not read.
        dtype_word: the dtype as torch spells it, or the file where torch does not.
    """

    name: str
    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    dtype_word: str

    def error(self, message: str) -> CheckpointError:
        """An error that names file and tensor."""
        return CheckpointError(message, file=self.file, key=self.name)


def read_json(path: Path) -> Mapping[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        CheckpointError: it cannot be read, is no JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", file=path) from None
    except ValueError as error:
        raise CheckpointError(f"is no JSON: {error}", file=path) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"must hold an object, got {type(content).__name__}", file=path)
    return content


def tensor_files(folder: Path) -> Mapping[str, str]:
    """The file of each tensor, from the one file or from the index of the shards.

    Raises:
        CheckpointError: there is neither, one is damaged, or the index names a file outside the folder.
    """
    if (folder / SINGLE).exists():
        with _open(folder / SINGLE) as content:
            return dict.fromkeys(content.keys(), SINGLE)
    if not (folder / INDEX).exists():
        raise CheckpointError(f"must hold {SINGLE} or {INDEX}", file=folder)
    files = read_json(folder / INDEX).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise CheckpointError("must map names of tensors to files", file=folder / INDEX, key="weight_map")
    for name, file in files.items():
        # Shards lie beside their index; anything that is more than a name could lead elsewhere.
        if not isinstance(file, str) or Path(file).name != file or "\\" in file or file in ("", ".."):
            raise CheckpointError(
                f"must name a file in this folder, got {file!r}",
                file=folder / INDEX,
                key=f"weight_map.{name}",
            )
    return files


def read_headers(folder: Path, files: Mapping[str, str]) -> tuple[dict[str, Header], dict[str, str]]:
    """Reads no tensor.

    Args:
        folder: where the files are.
        files: of `tensor_files`.

    Returns:
        The header of each tensor, and the files of tensors that the index does not know, by name.

    Raises:
        CheckpointError: a file is missing or damaged, or lacks a tensor that the index puts there.
    """
    headers: dict[str, Header] = {}
    unknown: dict[str, str] = {}
    for file, names in _by_file(files).items():
        with _open(folder / file) as content:
            held = set(content.keys())
            unknown |= dict.fromkeys(sorted(held - names.keys() - files.keys()), file)
            for name in names:
                if name not in held:
                    message = f"missing, though {INDEX} has it there"
                    raise CheckpointError(message, file=folder / file, key=name)
                entry = content.get_slice(name)
                headers[name] = _header(name, folder / file, tuple(entry.get_shape()), str(entry.get_dtype()))
    return headers, unknown


def _header(name: str, file: Path, shape: tuple[int, ...], stored: str) -> Header:
    dtype = _DTYPES.get(stored)
    word = stored if dtype is None else str(dtype).removeprefix("torch.")
    return Header(name=name, file=file, shape=shape, dtype=dtype, dtype_word=word)


def open_tensors(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Each tensor's name with a function that reads it, file by file; one file is open at a time.

    Args:
        folder: where the files are.
        files: of `tensor_files`, after `read_headers` found all of them.
    """
    for file, names in _by_file(files).items():
        with _open(folder / file) as content:
            for name in names:
                yield name, partial(content.get_tensor, name)


def _by_file(files: Mapping[str, str]) -> dict[str, dict[str, None]]:
    """The names in each file, in their order."""
    found: dict[str, dict[str, None]] = {}
    for name, file in files.items():
        found.setdefault(file, {})[name] = None
    return found


def _open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device="cpu")
    except FileNotFoundError:
        raise CheckpointError("does not exist", file=path) from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"is no readable safetensors file: {error}", file=path) from None
