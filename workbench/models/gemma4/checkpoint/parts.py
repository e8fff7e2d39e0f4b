"""The tensors of one quantised weight as checkpoints name them, and where they go in `QuantisedWeights`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from moe_kernels.formats import WeightFormat
from moe_kernels.formats.layout import TensorSpec
from workbench.models.gemma4.checkpoint.names import WeightPart
from workbench.models.gemma4.safetensors_folder import Header

# Attributes of `QuantisedWeights` by part.
ATTRIBUTES: Mapping[str, str] = {
    "": "values",
    "packed": "values",
    "scale": "scales",
    "scale_inv": "scales",
    "zero_point": "zero_points",
    "global_scale": "global_scales",
    "scale_2": "global_scales",
}
# The same the other way round, for naming what is missing.
_USUAL_PARTS: Mapping[str, str] = {
    "scales": "scale",
    "zero_points": "zero_point",
    "global_scales": "global_scale",
}
UNUSED_PARTS: Mapping[str, str] = {
    "input_scale": "activations have no static scales here",
    "input_global_scale": "activations have no static scales here",
}
# Layouts of other packages, which give themselves away by the names of their tensors.
_FOREIGN = {"qweight", "qzeros", "scales", "g_idx"}
_PLAIN_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_SCALE_ATTRIBUTES = ("scales", "global_scales")


@dataclass(slots=True)
class WeightGroup:
    """The tensors of one weight.

    Attributes:
        place: the weight, as one of its tensors names it.
        headers: by part.
    """

    place: WeightPart
    headers: dict[str, Header] = field(default_factory=dict)

    @property
    def any_header(self) -> Header:
        """One of its tensors, for messages."""
        return self.headers.get("") or next(iter(self.headers.values()))

    @property
    def telling_header(self) -> Header:
        """The first of its tensors by whose name the weight is quantised, else one of them."""
        named = (header for part, header in self.headers.items() if part in ATTRIBUTES.keys() - {""})
        return next(named, self.any_header)

    @property
    def is_plain(self) -> bool:
        """Whether it is one tensor in a dtype that models compute in."""
        known = {*ATTRIBUTES, *_FOREIGN, "shape"}
        return self.headers.keys() & known == {""} and self.headers[""].dtype in (
            *_PLAIN_DTYPES,
            torch.int8,
            None,
        )

    def refuse_foreign(self) -> None:
        """Raises CheckpointError for layouts that are known by name but not read."""
        if found := sorted(_FOREIGN & self.headers.keys()):
            layout = "GPTQ's" if "g_idx" in found else "AWQ's, GPTQ's or AutoRound's"
            raise self.headers[found[0]].error(f"is of {layout} own layout, which is not read")

    def check(
        self, held: WeightFormat, shape: tuple[int, int, int], *, is_stacked: bool
    ) -> dict[str, tuple[int, ...]]:
        """Compares headers with a format's layout.

        Args:
            held: the format.
            shape: E, N and K; E is 1 for the weight of one expert or of none.
            is_stacked: whether the tensors have the dimension E.

        Returns:
            The shape of each part with the dimension E.

        Raises:
            CheckpointError: a tensor is missing, of another shape or dtype, or none of the format's.
        """
        if reason := held.why_no_size(shape[2]):
            raise self.any_header.error(reason)
        layout = held.layout(*shape)
        found = {}
        for part, header in self.headers.items():
            if (attribute := ATTRIBUTES.get(part)) is None:
                continue
            if attribute not in layout:
                raise header.error(f"must be absent, {held} has no {attribute.replace('_', ' ')}")
            found[part] = _fitting(header, layout[attribute], attribute, held, is_stacked)
        self._check_complete(held, layout, [ATTRIBUTES[part] for part in found])
        return found

    def _check_complete(self, held: WeightFormat, layout: Mapping[str, TensorSpec], there: list[str]) -> None:
        for attribute in layout:
            name = self._name_of(attribute)
            if attribute not in there:
                raise self.any_header.error(f"its {name} is missing, {held} needs one")
            if there.count(attribute) > 1:
                raise self.any_header.error(f"must be the only {name} of {self.place.module}")

    def _name_of(self, attribute: str) -> str:
        part = _USUAL_PARTS.get(attribute)
        return "weight" if part is None else f"weight_{part}"


def _fitting(
    header: Header, wanted: TensorSpec, attribute: str, held: WeightFormat, is_stacked: bool
) -> tuple[int, ...]:
    """The shape that a tensor takes in the layout; scales may lack dimensions of size 1."""
    if header.dtype not in wanted.dtypes:
        words = " or ".join(str(dtype).removeprefix("torch.") for dtype in wanted.dtypes)
        raise header.error(f"dtype must be {words} for {held}, got {header.dtype_word}")
    for shape in wanted.shapes:
        exact = shape if is_stacked else shape[1:]
        squeezes = attribute in _SCALE_ATTRIBUTES and _squeezed(header.shape) == _squeezed(shape)
        if header.shape == exact or squeezes:
            return shape
    allowed = " or ".join(str(list(shape if is_stacked else shape[1:])) for shape in wanted.shapes)
    raise header.error(f"must have shape {allowed} for {held}, got {list(header.shape)}")


def _squeezed(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def decoded(part: str, tensor: Tensor, header: Header) -> Tensor:
    """A part as `QuantisedWeights` has it.

    Raises:
        CheckpointError: a scale is no number, or a global scale is zero.
    """
    attribute = ATTRIBUTES[part]
    if attribute not in _SCALE_ATTRIBUTES:
        return tensor
    if not bool(torch.isfinite(tensor.float()).all()):
        raise header.error("must be finite, has NaN or infinity")
    if attribute == "global_scales" and not bool((tensor > 0).all()):
        raise header.error("must be positive")
    # ModelOpt's multiplies, compressed-tensors' divides.
    return tensor.reciprocal() if part == "scale_2" else tensor


def check_shape_tensor(tensor: Tensor, header: Header, rows: int, columns: int) -> None:
    """Raises CheckpointError unless a `weight_shape` says the shape that the weight has, for one expert or all."""
    said = tensor.flatten().tolist()
    if said[-2:] != [rows, columns] and said[:2] != [rows, columns]:
        raise header.error(f"must say {[rows, columns]}, says {said}")
