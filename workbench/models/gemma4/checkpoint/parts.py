"""The tensors of one quantised weight, compared with its format's layout before any is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from moe_kernels.formats.layout import TensorSpec
from workbench.models.gemma4.checkpoint.layouts import EVERY_PART, FOREIGN_PARTS, NATIVE, Layout, Shape
from workbench.models.gemma4.checkpoint.names import WeightPart
from workbench.models.gemma4.checkpoint.quantisation import QuantisationRule
from workbench.models.gemma4.safetensors_folder import Header

UNUSED_PARTS: Mapping[str, str] = {
    "input_scale": "activations have no static scales here",
    "input_global_scale": "activations have no static scales here",
}
_PLAIN_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_SCALES = ("scales", "global_scales")


@dataclass(frozen=True, slots=True)
class PartReader:
    """Makes one of the tensors of `QuantisedWeights` out of one of a checkpoint.

    Attributes:
        attribute: of `QuantisedWeights`.
        shape: there, with the dimension E.
        rows: N.
    """

    part: str
    attribute: str
    shape: Shape
    layout: Layout
    rows: int

    def read(self, header: Header, tensor: Tensor) -> Tensor:
        """The tensor in its shape.

        Raises:
            CheckpointError: a scale is no number, or a global scale is not positive.
        """
        if self.attribute in _SCALES and not bool(torch.isfinite(tensor.float()).all()):
            raise header.error("must be finite, has NaN or infinity")
        if self.attribute == "global_scales" and not bool((tensor > 0).all()):
            raise header.error("must be positive")
        return self.layout.read(self.part, tensor, self.rows).reshape(self.shape)


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
        named = (header for part, header in self.headers.items() if part and part in EVERY_PART)
        return next(named, self.any_header)

    @property
    def is_plain(self) -> bool:
        """Whether it is one tensor in a dtype that models compute in."""
        is_alone = self.headers.keys() & EVERY_PART == {""}
        return is_alone and self.headers[""].dtype in (*_PLAIN_DTYPES, torch.int8, None)

    def refuse_foreign(self, layout: Layout) -> None:
        """Raises CheckpointError for tensors of another package's layout than the config announces."""
        if layout is NATIVE and (found := sorted(FOREIGN_PARTS & self.headers.keys())):
            names = "GPTQ's" if "g_idx" in found else "AWQ's, GPTQ's or AutoRound's"
            raise self.headers[found[0]].error(f"is of {names} own layout, of which config.json says nothing")

    def readers(
        self, rule: QuantisationRule, shape: tuple[int, int, int], *, is_stacked: bool
    ) -> dict[str, PartReader]:
        """Compares headers with a format's layout.

        Args:
            rule: of the weight.
            shape: E, N and K; E is 1 for the weight of one expert or of none.
            is_stacked: whether the tensors have the dimension E.

        Returns:
            What reads each part.

        Raises:
            CheckpointError: a tensor is missing, of another shape or dtype, or none of the format's.
        """
        held, layout = rule.format, rule.layout
        self.refuse_foreign(layout)
        if is_stacked and not layout.is_stackable:
            raise self.any_header.error(f"must be the weight of one expert, in {layout.name}'s layout")
        if reason := held.why_no_size(shape[2]):
            raise self.any_header.error(reason)
        specs = held.layout(*shape)
        compared = self.checked_parts(rule, shape)
        found = {}
        for part, header in self.headers.items():
            attribute = layout.parts.get(part)
            if attribute is None or part in compared:
                continue
            if attribute not in specs:
                raise header.error(f"must be absent, {held} has no {attribute.replace('_', ' ')}")
            fitting = _fitting(header, specs[attribute], attribute, rule, is_stacked)
            found[part] = PartReader(part, attribute, fitting, layout, shape[1])
        self._check_complete(rule, specs, [reader.attribute for reader in found.values()])
        return found

    def checked_parts(self, rule: QuantisationRule, shape: tuple[int, int, int]) -> dict[str, Header]:
        """The parts that are compared and not kept."""
        checks = rule.layout.checks(rule.format, shape[1], shape[2])
        return {part: header for part, header in self.headers.items() if part in checks}

    def _check_complete(
        self, rule: QuantisationRule, specs: Mapping[str, TensorSpec], there: list[str]
    ) -> None:
        for attribute in specs:
            name = rule.layout.tensor_names[attribute]
            if attribute not in there:
                raise self.any_header.error(f"its {name} is missing, {rule.format} needs one")
            if there.count(attribute) > 1:
                raise self.any_header.error(f"must be the only {name} of {self.place.module}")


def _fitting(
    header: Header, wanted: TensorSpec, attribute: str, rule: QuantisationRule, is_stacked: bool
) -> Shape:
    """The shape that a tensor takes in `QuantisedWeights`; scales may lack dimensions of size 1."""
    held = rule.format
    if header.dtype not in wanted.dtypes:
        words = " or ".join(str(dtype).removeprefix("torch.") for dtype in wanted.dtypes)
        raise header.error(f"dtype must be {words} for {held}, got {header.dtype_word}")
    stored = {
        shape: shape if is_stacked else rule.layout.stored_shape(attribute, shape[1:])
        for shape in wanted.shapes
    }
    for shape, exact in stored.items():
        squeezes = attribute in _SCALES and _squeezed(header.shape) == _squeezed(exact)
        if header.shape == exact or squeezes:
            return shape
    allowed = " or ".join(str(list(exact)) for exact in stored.values())
    raise header.error(f"must have shape {allowed} for {held}, got {list(header.shape)}")


def _squeezed(shape: Shape) -> list[int]:
    return [size for size in shape if size != 1]
