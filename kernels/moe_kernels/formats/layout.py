"""What tensors a format consists of: their shapes and dtypes, and what is said where others are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

SCALE_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of a layout.

    Attributes:
        shapes: those that are allowed; the first is what the format makes itself.
        dtypes: likewise.
    """

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]

    def __str__(self) -> str:
        return f"{either(map(_word, self.dtypes))} {either(str(list(shape)) for shape in self.shapes)}"

    def check(self, name: str, tensor: Tensor) -> None:
        """Raises ValueError, with the name and what is allowed, unless the tensor fits."""
        if tensor.dtype not in self.dtypes:
            raise ValueError(
                f"{name}: dtype must be {either(map(_word, self.dtypes))}, got {_word(tensor.dtype)}"
            )
        if tuple(tensor.shape) not in self.shapes:
            allowed = either(str(list(shape)) for shape in self.shapes)
            raise ValueError(f"{name}: must have shape {allowed}, got {list(tensor.shape)}")


def spec(*shape: int, dtypes: tuple[torch.dtype, ...]) -> TensorSpec:
    """A tensor of one shape."""
    return TensorSpec((shape,), dtypes)


def either(words: Iterable[str]) -> str:
    """`a or b or c`."""
    return " or ".join(dict.fromkeys(words))


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
