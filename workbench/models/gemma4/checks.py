"""Checks of single fields and arguments; each error names what is wrong and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def check_integer(name: str, value: Any, *, at_least: int) -> None:
    """Raises ValueError unless `value` is an int (no bool) of at least `at_least`."""
    if type(value) is not int or value < at_least:
        raise ValueError(f"{name}: must be an integer of at least {at_least}, got {value!r}")


def check_positive_number(name: str, value: Any, *, at_most: float = math.inf) -> None:
    """Raises ValueError unless `value` is a finite number above zero and up to `at_most`."""
    if type(value) not in (int, float) or not 0 < value <= at_most or math.isinf(value):
        allowed = "a finite number above 0" + ("" if math.isinf(at_most) else f" and up to {at_most:g}")
        raise ValueError(f"{name}: must be {allowed}, got {value!r}")


def check_boolean(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is True or False."""
    if type(value) is not bool:
        raise ValueError(f"{name}: must be true or false, got {value!r}")


def check_choice(name: str, value: Any, allowed: Collection[Any]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise ValueError(f"{name}: must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """Returns `value`, or raises ValueError unless it is a mapping."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: must be a mapping, got {type(value).__name__}")
    return value


def check_shape(name: str, tensor: Tensor, *shape: int | str) -> None:
    """Raises ValueError unless `tensor` has this shape; a dimension given by a name is free."""
    sizes = tuple(tensor.shape)
    # Most calls name no free dimension, and this runs several times a layer.
    if sizes != shape and (
        len(sizes) != len(shape)
        or [
            1 for size, wanted in zip(sizes, shape, strict=True) if wanted != size and type(wanted) is not str
        ]
    ):
        raise ValueError(f"{name}: must have shape [{', '.join(map(str, shape))}], got {list(sizes)}")


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Raises ValueError unless `ids` is an integer tensor [B, S], both at least 1, of ids in the vocabulary."""
    check_shape("ids", ids, "B", "S")
    if ids.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"ids: dtype must be int32 or int64, got {ids.dtype}")
    if not ids.numel():
        raise ValueError(f"ids: must have at least one sequence and one token, got {list(ids.shape)}")
    smallest, greatest = (int(bound) for bound in ids.aminmax())
    if smallest < 0 or greatest >= vocab_size:
        outside = smallest if smallest < 0 else greatest
        raise ValueError(f"ids: must be 0 to vocab_size - 1 ({vocab_size - 1}), got {outside}")


def check_lengths(lengths: Tensor | Sequence[int] | None, ids: Tensor) -> Tensor:
    """The lengths of right-padded sequences [B, S], as int64 [B] beside `ids`; None means none is padded.

    Raises:
        ValueError: there is not one for each sequence, or one is no integer from 1 to S.
    """
    batch, width = ids.shape
    if lengths is None:
        return torch.full((batch,), width, dtype=torch.int64, device=ids.device)
    given = torch.as_tensor(lengths)
    if given.shape != (batch,) or given.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"lengths: must be {batch} integers, one for each sequence, got {given.tolist()}")
    if any(not 1 <= length <= width for length in given.tolist()):
        raise ValueError(f"lengths: must be 1 to the width of ids ({width}), got {given.tolist()}")
    return given.to(device=ids.device, dtype=torch.int64)
