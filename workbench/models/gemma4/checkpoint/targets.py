"""Where tensors of a checkpoint go, one by one, in whatever order they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd
from operator import attrgetter
from typing import Protocol

import torch
from torch import Tensor, nn

from moe_kernels.formats import Fp8, QuantisedWeights, WeightFormat
from moe_kernels.formats.fp8 import BLOCK
from moe_kernels.formats.nibbles import pack_int4, unpack_int4
from workbench.models.gemma4.checkpoint.layouts import Check
from workbench.models.gemma4.checkpoint.parts import PartReader
from workbench.models.gemma4.experts import Gemma4Experts, buffer_name
from workbench.models.gemma4.safetensors_folder import Header


class Target(Protocol):
    """Takes one tensor of a checkpoint."""

    def take(self, header: Header, tensor: Tensor) -> None:
        """Puts the tensor where it belongs; raises CheckpointError for one whose content is wrong."""


@dataclass(slots=True)
class PlainTarget:
    """A parameter or buffer of the model, under one name of perhaps several."""

    model: nn.Module
    name: str
    filled: dict[int, str]

    def take(self, header: Header, tensor: Tensor) -> None:
        """Copies the tensor, or compares it with what is tied to it."""
        target: Tensor = attrgetter(self.name)(self.model)
        if (earlier := self.filled.get(id(target))) is None:
            target.copy_(tensor)
        elif not torch.equal(tensor.to(target), target):
            raise header.error(f"must equal {earlier}, to which the config ties it")
        self.filled[id(target)] = header.name


@dataclass(slots=True)
class DequantisedTarget:
    """A quantised weight that the model holds in its own dtype: waits for all parts."""

    plain: PlainTarget
    held: WeightFormat
    columns: int
    missing: int
    _tensors: dict[str, Tensor] = field(default_factory=dict)

    def part(self, reader: PartReader) -> Target:
        """What takes one of the parts."""
        return _DequantisedPart(self, reader)

    def put(self, attribute: str, tensor: Tensor, header: Header) -> None:
        """Keeps a part; with the last one the weight is complete."""
        # A copy, since the file that the tensor lies in will be closed.
        self._tensors[attribute] = tensor.clone()
        self.missing -= 1
        if not self.missing:
            weights = QuantisedWeights(format=self.held, **self._tensors, input_size=self.columns)
            self.plain.take(header, self.held.dequantise(weights)[0])
            self._tensors.clear()


@dataclass(frozen=True, slots=True)
class _DequantisedPart:
    whole: DequantisedTarget
    reader: PartReader

    def take(self, header: Header, tensor: Tensor) -> None:
        self.whole.put(self.reader.attribute, self.reader.read(header, tensor), header)


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A tensor that is compared and not kept."""

    check: Check

    def take(self, header: Header, tensor: Tensor) -> None:
        """Raises CheckpointError unless it says what it must."""
        self.check(header, tensor)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one projection of one expert, or of all.

    Attributes:
        projection: `gate_up_proj` or `down_proj`.
        expert: None for all.
    """

    projection: str
    expert: int | None
    start: int
    count: int

    def of(self, tensor: Tensor) -> Tensor:
        """The experts that are meant."""
        return tensor if self.expert is None else tensor[self.expert : self.expert + 1]


@dataclass(frozen=True, slots=True)
class PlainExpertsTarget:
    """Rows of experts that are held in the model's dtype."""

    experts: Gemma4Experts
    rows: Rows

    def take(self, header: Header, tensor: Tensor) -> None:
        """Copies the rows."""
        weights = self.rows.of(getattr(self.experts, self.rows.projection))
        weights[:, self.rows.start : self.rows.start + self.rows.count].copy_(tensor)


@dataclass(frozen=True, slots=True)
class QuantisedExpertsTarget:
    """A part of the rows of experts that are held in a format."""

    experts: Gemma4Experts
    rows: Rows
    reader: PartReader

    def take(self, header: Header, tensor: Tensor) -> None:
        """Copies what the part has for the rows, repeated where the format that is held distinguishes more rows."""
        assert self.experts.format is not None, "planned"
        attribute = self.reader.attribute
        name = buffer_name(self.experts.format, self.rows.projection, attribute)
        target = self.rows.of(self.experts.get_buffer(name))
        value = self.reader.read(header, tensor)
        if attribute == "zero_points":
            self._put_packed(target, value)
            return
        # What is the same for all rows is held once, or for each row beside other projections that differ.
        is_shared = target.shape[1] == 1
        unit, repeats = (self._blocks() if attribute == "scales" else None) or (1, 1)
        count = 1 if is_shared else -(-self.rows.count // unit)
        if value.shape[1] == 1 and unit == 1:
            repeats = count
        if repeats > 1:
            value = value.repeat_interleave(repeats, 1)
        start = 0 if is_shared else self.rows.start // unit
        target[:, start : start + count].copy_(value[:, :count])

    def _blocks(self) -> tuple[int, int] | None:
        """Rows of a block as it is held, and how many such blocks one of the checkpoint makes; None without blocks."""
        held = self.experts.format
        if not isinstance(held, Fp8) or held.scales != "block":
            return None
        return held.block_rows, BLOCK // held.block_rows

    def _put_packed(self, target: Tensor, value: Tensor) -> None:
        """Zero points are packed along the rows, and the first row may lie inside a word."""
        rows = self.experts.shapes[self.rows.projection][1]
        points = unpack_int4(target.mT, rows)
        end = self.rows.start + self.rows.count
        points[..., self.rows.start : end] = unpack_int4(value.mT.to(target.device), self.rows.count)
        target.copy_(pack_int4(points).mT)


def joined_format(formats: set[WeightFormat], inner: int, *, is_split: bool) -> WeightFormat | None:
    """The format in which all weights of a layer's experts fit without loss; None where there is none.

    Args:
        formats: of the weights.
        inner: I.
        is_split: whether gate and up are weights of their own, with scales of their own.
    """
    if is_split and formats <= {Fp8("tensor"), Fp8("channel")}:
        return Fp8("channel")
    if len(formats) != 1:
        return None
    (only,) = formats
    if is_split and only == Fp8("block") and inner % BLOCK:
        return Fp8("block", gcd(inner, BLOCK))
    return only
