"""Where the tensors of a layer's experts go, which checkpoints hold stacked or for each expert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from moe_kernels.formats import QuantisedWeights, WeightFormat
from workbench.models.gemma4.checkpoint.parts import PartReader, WeightGroup
from workbench.models.gemma4.checkpoint.quantisation import QuantisationRule
from workbench.models.gemma4.checkpoint.targets import (
    CheckedTarget,
    PlainExpertsTarget,
    QuantisedExpertsTarget,
    Rows,
    Target,
    joined_format,
)
from workbench.models.gemma4.experts import PROJECTIONS, Gemma4Experts
from workbench.models.gemma4.safetensors_folder import Header

Targets = dict[str, Target]
Readers = dict[str, dict[str, PartReader]]


class ExpertsPlan:
    """The groups of one layer's experts, checked against the module that takes them.

    Args:
        experts: the module, on the meta device; it takes the format of the checkpoint.
        groups: the weights that the checkpoint has for it.
        rules: of the weights that are quantised, by module.
    """

    def __init__(
        self, experts: Gemma4Experts, groups: list[WeightGroup], rules: dict[str, QuantisationRule]
    ) -> None:
        self.experts = experts
        self.groups = groups
        self.rules = rules
        self.is_split = any(group.place.expert is not None for group in groups)

    def targets(self) -> Targets:
        """What takes each tensor, by name.

        Raises:
            CheckpointError: one is missing or does not fit, or the weights have formats that do not go together.
        """
        self._check_complete()
        if not self.rules:
            return dict(self._plain())
        for group in self.groups:
            if group.place.module not in self.rules:
                raise group.any_header.error("must be quantised as the other experts of its layer")
        readers = {group.place.module: self._readers(group) for group in self.groups}
        held = self._format()
        self.experts.hold(*(self._empty(held, projection, readers) for projection in PROJECTIONS))
        return dict(self._quantised(readers))

    def rows_of(self, group: WeightGroup) -> Rows:
        """The rows of the module that a weight fills."""
        inner = self.experts.config.moe_intermediate_size
        hidden, expert = self.experts.config.hidden_size, group.place.expert
        return {
            "gate_up_proj": Rows("gate_up_proj", expert, 0, 2 * inner),
            "gate_proj": Rows("gate_up_proj", expert, 0, inner),
            "up_proj": Rows("gate_up_proj", expert, inner, inner),
            "down_proj": Rows("down_proj", expert, 0, hidden),
        }[group.place.projection]

    def _check_complete(self) -> None:
        """Each row of each expert must come from exactly one weight."""
        count, anchor = self.experts.config.num_experts, self.groups[0]
        filled: dict[tuple[int, str, int], WeightGroup] = {}
        for group in self.groups:
            expert, rows = group.place.expert, self.rows_of(group)
            if expert is not None and expert >= count:
                raise group.any_header.error(f"expert {expert} is beyond num_experts ({count})")
            for number in range(count) if expert is None else (expert,):
                for half in _halves(rows, self.experts):
                    if (number, *half) in filled:
                        earlier = filled[number, *half].any_header.name
                        raise group.any_header.error(f"is there twice, also as {earlier}")
                    filled[number, *half] = group
        for number in range(count):
            for half in [(PROJECTIONS[0], 0), (PROJECTIONS[0], 1), (PROJECTIONS[1], 0)]:
                if (number, *half) not in filled:
                    raise anchor.any_header.error(f"{self._name_of(number, *half)} is missing beside it")

    def _name_of(self, number: int, projection: str, half: int) -> str:
        """What the checkpoint would call a weight, spelled as the others."""
        if not self.is_split:
            return f"{self.groups[0].place.experts}.{projection}"
        split = ("gate_proj", "up_proj")[half] if projection == PROJECTIONS[0] else projection
        return f"{self.groups[0].place.experts}.{number}.{split}"

    def _plain(self) -> Iterator[tuple[str, Target]]:
        for group in self.groups:
            rows, header = self.rows_of(group), group.headers[""]
            check_plain(header, self._shape(group))
            yield header.name, PlainExpertsTarget(self.experts, rows)

    def _shape(self, group: WeightGroup) -> tuple[int, ...]:
        """Of the whole weight in the checkpoint."""
        rows = self.rows_of(group)
        experts, _, columns = self.experts.shapes[rows.projection]
        return (experts, rows.count, columns) if rows.expert is None else (rows.count, columns)

    def _readers(self, group: WeightGroup) -> dict[str, PartReader]:
        *experts, rows, columns = self._shape(group)
        shape = (experts[0] if experts else 1, rows, columns)
        return group.readers(self.rules[group.place.module], shape, is_stacked=bool(experts))

    def _format(self) -> WeightFormat:
        formats = {rule.format for rule in self.rules.values()}
        inner = self.experts.config.moe_intermediate_size
        splits = any(group.place.projection in ("gate_proj", "up_proj") for group in self.groups)
        found = joined_format(formats, inner, is_split=splits)
        if found is None:
            names = " and ".join(sorted(map(str, formats)))
            raise self.groups[0].any_header.error(f"experts of a layer must have one format, got {names}")
        return found

    def _empty(self, held: WeightFormat, projection: str, readers: Readers) -> QuantisedWeights:
        """Buffers on the meta device; rows have global scales of their own where weights share the projection."""
        experts, rows, columns = self.experts.shapes[projection]
        groups = [group for group in self.groups if self.rows_of(group).projection == projection]
        found = [
            (group, part, reader) for group in groups for part, reader in readers[group.place.module].items()
        ]
        scale_dtype = next(
            group.headers[part].dtype for group, part, reader in found if reader.attribute == "scales"
        )
        empty = held.empty(experts, rows, columns, device="meta", scale_dtype=scale_dtype)
        if empty.global_scales is None:
            return empty
        is_split = any(self.rows_of(group).count < rows for group in groups)
        by_row = any(reader.shape[1] > 1 for _, _, reader in found if reader.attribute == "global_scales")
        counted = rows if is_split or by_row else 1
        return replace(empty, global_scales=torch.empty(experts, counted, 1, device="meta"))

    def _quantised(self, readers: Readers) -> Iterator[tuple[str, Target]]:
        for group in self.groups:
            rows, rule = self.rows_of(group), self.rules[group.place.module]
            columns = self.experts.shapes[rows.projection][2]
            for part, reader in readers[group.place.module].items():
                yield group.headers[part].name, QuantisedExpertsTarget(self.experts, rows, reader)
            checks = rule.layout.checks(rule.format, rows.count, columns)
            for part, header in group.checked_parts(rule, (1, rows.count, columns)).items():
                yield header.name, CheckedTarget(checks[part])


def _halves(rows: Rows, experts: Gemma4Experts) -> list[tuple[str, int]]:
    """Gate and up as 0 and 1; the other projection is one piece."""
    if rows.projection == PROJECTIONS[1]:
        return [(rows.projection, 0)]
    inner = experts.config.moe_intermediate_size
    return [
        (rows.projection, half) for half in (0, 1) if rows.start <= half * inner < rows.start + rows.count
    ]


def check_plain(header: Header, shape: tuple[int, ...]) -> None:
    """Raises CheckpointError unless a tensor has a shape and a dtype that models compute in."""
    if header.shape != shape:
        raise header.error(f"must have shape {list(shape)}, got {list(header.shape)}")
    if header.dtype not in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        raise header.error(f"must be one of bfloat16, float16, float32, got {header.dtype_word}")
