"""A folder of safetensors files: which tensor is in which file, and the tensors one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.models.gemma4.checkpoint_error import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


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


def open_tensors(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Each tensor's name with a function that reads it, file by file; one file is open at a time.

    Args:
        folder: where the files are.
        files: of `tensor_files`.

    Raises:
        CheckpointError: a file is missing or damaged, or lacks a tensor that the index puts there.
    """
    for file in dict.fromkeys(files.values()):
        with _open(folder / file) as content:
            held = set(content.keys())
            for name in (name for name, place in files.items() if place == file):
                if name not in held:
                    raise CheckpointError(
                        f"missing, though {INDEX} has it there", file=folder / file, key=name
                    )
                yield name, partial(content.get_tensor, name)


def _open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device="cpu")
    except FileNotFoundError:
        raise CheckpointError("does not exist", file=path) from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"is no readable safetensors file: {error}", file=path) from None
