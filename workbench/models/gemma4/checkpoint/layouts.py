"""How checkpoints lay out quantised weights: what the tensors are called, and how they become `QuantisedWeights`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from moe_kernels.formats import WeightFormat
from moe_kernels.formats.nibbles import NIBBLES, pack_int4, unpack_int4
from workbench.models.gemma4.safetensors_folder import Header

Check = Callable[[Header, Tensor], None]
Shape = tuple[int, ...]


class Layout(ABC):
    """A package's layout.

    Attributes:
        parts: attributes of `QuantisedWeights` by part.
        tensor_names: what the tensor of each attribute is called.
        is_stackable: whether one tensor may hold all experts.
    """

    name: ClassVar[str]
    parts: ClassVar[Mapping[str, str]]
    tensor_names: ClassVar[Mapping[str, str]]
    is_stackable: ClassVar[bool] = False

    @abstractmethod
    def stored_shape(self, attribute: str, shape: Shape) -> Shape:
        """The shape in the file, from the one in `QuantisedWeights` without the dimension E."""

    @abstractmethod
    def read(self, part: str, tensor: Tensor, rows: int) -> Tensor:
        """A part as `QuantisedWeights` has it, for weights of N rows."""

    @abstractmethod
    def checks(self, held: WeightFormat, rows: int, columns: int) -> Mapping[str, Check]:
        """Parts that are compared with what they must say, and not kept."""


class NativeLayout(Layout):
    """compressed-tensors', ModelOpt's and transformers', which is that of `QuantisedWeights` but for names."""

    name = "compressed-tensors"
    parts: ClassVar[Mapping[str, str]] = {
        "": "values",
        "packed": "values",
        "scale": "scales",
        "scale_inv": "scales",
        "zero_point": "zero_points",
        "global_scale": "global_scales",
        "scale_2": "global_scales",
    }
    tensor_names: ClassVar[Mapping[str, str]] = {
        "values": "weight",
        "scales": "weight_scale",
        "zero_points": "weight_zero_point",
        "global_scales": "weight_global_scale",
    }
    is_stackable = True

    def stored_shape(self, attribute: str, shape: Shape) -> Shape:
        """The same."""
        return shape

    def read(self, part: str, tensor: Tensor, rows: int) -> Tensor:
        """The same, but that ModelOpt's global scale multiplies where compressed-tensors' divides."""
        return tensor.reciprocal() if part == "scale_2" else tensor

    def checks(self, held: WeightFormat, rows: int, columns: int) -> Mapping[str, Check]:
        """The shape of the weight before packing, of one expert or of all."""

        def check(header: Header, tensor: Tensor) -> None:
            said = tensor.flatten().tolist()
            if said[-2:] != [rows, columns] and said[:2] != [rows, columns]:
                raise header.error(f"must say {[rows, columns]}, says {said}")

        return {"shape": check}


class _InputFirstLayout(Layout):
    """What AWQ and GPTQ have in common: the input dimension comes first."""

    parts: ClassVar[Mapping[str, str]] = {"qweight": "values", "qzeros": "zero_points", "scales": "scales"}
    tensor_names: ClassVar[Mapping[str, str]] = {attribute: part for part, attribute in parts.items()}

    def stored_shape(self, attribute: str, shape: Shape) -> Shape:
        """Transposed; zero points are packed along the output dimension all the same."""
        return shape[::-1]

    def read(self, part: str, tensor: Tensor, rows: int) -> Tensor:
        """A part as `QuantisedWeights` has it; where words hold more than N values, the rest is left out."""
        if part == "scales":
            return tensor.mT
        return self.read_zero_points(tensor).mT if part == "qzeros" else self.read_values(tensor)[:rows]

    @abstractmethod
    def read_values(self, tensor: Tensor) -> Tensor:
        """Packed values [N, K/8]."""

    @abstractmethod
    def read_zero_points(self, tensor: Tensor) -> Tensor:
        """Packed zero points [G, N/8]."""

    def checks(self, held: WeightFormat, rows: int, columns: int) -> Mapping[str, Check]:
        """Symmetric weights may come with zero points, which then are all the middle of the range."""

        def check(header: Header, tensor: Tensor) -> None:
            if bool(unpack_int4(self.read_zero_points(tensor), rows).any()):
                raise header.error(f"must be 8 everywhere, {held} has no zero points")

        return {} if "zero_points" in held.layout(1, rows, columns) else {"qzeros": check}


@dataclass(frozen=True)
class GptqLayout(_InputFirstLayout):
    """GPTQ's: values packed along K, and zero points that the first version stores less one.

    Attributes:
        stored_less: what zero points are stored less: 1, or 0 in `gptq_v2`.
        group_size: values of a row that share a scale, None for all.
    """

    stored_less: int
    group_size: int | None
    name: ClassVar[str] = "GPTQ"

    def read_values(self, tensor: Tensor) -> Tensor:
        """Transposed: a word's eight values are the same."""
        return tensor.mT

    def read_zero_points(self, tensor: Tensor) -> Tensor:
        """With what they are stored less; codes wrap around, as 4 bits do."""
        codes = unpack_int4(tensor, tensor.shape[-1] * NIBBLES) + NIBBLES + self.stored_less
        return pack_int4(codes % 16 - NIBBLES)

    def checks(self, held: WeightFormat, rows: int, columns: int) -> Mapping[str, Check]:
        """Groups must be in the order of the input."""
        groups = torch.arange(columns) // (self.group_size or max(columns, 1))

        def check(header: Header, tensor: Tensor) -> None:
            if not torch.equal(tensor.flatten().long(), groups):
                raise header.error("must be in order: groups in the order of activations are not read")

        return {**super().checks(held, rows, columns), "g_idx": check}


class AwqLayout(_InputFirstLayout):
    """AWQ's: values packed along N, in an order of their own within a word."""

    name = "AWQ"
    # Where in a word each of eight neighbours is.
    _PLACES: ClassVar[tuple[int, ...]] = (0, 4, 1, 5, 2, 6, 3, 7)

    def stored_shape(self, attribute: str, shape: Shape) -> Shape:
        """Values are packed along the other dimension."""
        if attribute != "values":
            return shape[::-1]
        rows, words = shape
        return words * NIBBLES, -(-rows // NIBBLES)

    def read_values(self, tensor: Tensor) -> Tensor:
        """Unpacked, transposed and packed again."""
        return pack_int4(self._in_order(tensor).mT)

    def read_zero_points(self, tensor: Tensor) -> Tensor:
        """In order."""
        return pack_int4(self._in_order(tensor))

    def _in_order(self, tensor: Tensor) -> Tensor:
        """int8 [..., N]."""
        values = unpack_int4(tensor, tensor.shape[-1] * NIBBLES)
        return torch.unflatten(values, -1, (tensor.shape[-1], NIBBLES))[..., list(self._PLACES)].flatten(-2)


NATIVE = NativeLayout()
EVERY_PART = frozenset({*NativeLayout.parts, *_InputFirstLayout.parts, "shape", "g_idx"})
FOREIGN_PARTS = EVERY_PART - NativeLayout.parts.keys() - {"shape"}
