"""Decides from headers alone where each tensor of a checkpoint goes; what does not fit is refused before it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from workbench.models.gemma4.checkpoint.experts_plan import ExpertsPlan, check_plain
from workbench.models.gemma4.checkpoint.layouts import NATIVE
from workbench.models.gemma4.checkpoint.names import WeightPart, layer_of, own_name, spellings, weight_part
from workbench.models.gemma4.checkpoint.parts import UNUSED_PARTS, WeightGroup
from workbench.models.gemma4.checkpoint.quantisation import Quantisation, QuantisationRule
from workbench.models.gemma4.checkpoint.targets import CheckedTarget, DequantisedTarget, PlainTarget, Target
from workbench.models.gemma4.checkpoint_error import CheckpointError
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.safetensors_folder import Header

_NO_SUCH_TENSOR = "the model has no such tensor"
# What a config may mean by a class, and which weights it then means.
_LINEAR = frozenset({"Linear"})
_STACKED = frozenset({"Linear", "Gemma4TextExperts", "Gemma4Experts"})


@dataclass(slots=True)
class Plan:
    """Where tensors go.

    Attributes:
        targets: what takes each tensor, by its name in the checkpoint.
        unused: reasons by name, for those that go nowhere.
        formats: by module that holds its weights in one.
        dequantised: formats by weight that is quantised in the checkpoint only.
        notes: as in `CheckpointReport`.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    dequantised: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Planner:
    """Plans the reading of one checkpoint.

    Args:
        folder: of the checkpoint.
        model: on the meta device; its experts take the checkpoint's formats.
        quantisation: what the checkpoint's config says of formats, if anything.
    """

    def __init__(self, folder: Path, model: nn.Module, quantisation: Quantisation | None) -> None:
        self.folder = folder
        self.model = model
        self.quantisation = quantisation
        self.state: Mapping[str, Tensor] = model.state_dict(keep_vars=True)
        self.depth = len(model.model.layers)  # type: ignore[union-attr, arg-type]
        self.filled: dict[int, str] = {}
        self.covered: set[int] = set()
        self.passed_over: dict[str, list[str]] = {}
        self.plan = Plan()

    def make(self, headers: Iterable[Header]) -> Plan:
        """Plans for these tensors.

        Raises:
            CheckpointError: one is missing, is there twice, does not fit, or is of a format that is not read.
        """
        experts: dict[str, list[WeightGroup]] = {}
        for group in self._group(headers):
            if group.place.experts is not None:
                experts.setdefault(group.place.experts, []).append(group)
            elif group.is_plain:
                self._plan_plain(f"{group.place.module}.weight", group.headers[""])
                self._leave_rest(group)
                self._note_plain(group)
            else:
                self._plan_dequantised(group)
        for module, groups in experts.items():
            self._plan_experts(module, groups)
        self._check_complete()
        for key, (first, *more) in self.passed_over.items():
            others = f" and {len(more)} more" if more else ""
            self.plan.notes.append(f"{first}{others}: not quantised, though {key} covers such modules")
        return self.plan

    def _group(self, headers: Iterable[Header]) -> list[WeightGroup]:
        """Weights with all their tensors; what is no weight is planned at once."""
        groups: dict[str, WeightGroup] = {}
        for header in headers:
            own = own_name(header.name)
            if own is None:
                self.plan.unused[header.name] = "no part of the text model"
            elif (layer := layer_of(own)) is not None and layer >= self.depth:
                reason = f"layer {layer} is beyond the {self.depth} layers that were loaded"
                self.plan.unused[header.name] = reason
            elif (part := weight_part(own)) is None:
                self._plan_plain(own, header)
            else:
                self._add(groups.setdefault(part.module, WeightGroup(part)), part, header)
        return list(groups.values())

    def _add(self, group: WeightGroup, part: WeightPart, header: Header) -> None:
        if (earlier := group.headers.get(part.part)) is not None:
            raise header.error(f"is there twice, also as {earlier.name}")
        group.headers[part.part] = header

    def _plan_plain(self, own: str, header: Header) -> None:
        if (target := self.state.get(own)) is None:
            self.plan.unused[header.name] = _NO_SUCH_TENSOR
            return
        if target.is_floating_point():
            check_plain(header, tuple(target.shape))
        elif header.shape != tuple(target.shape):
            raise header.error(f"must have shape {list(target.shape)}, got {list(header.shape)}")
        self._take(header, PlainTarget(self.model, own, self.filled), target)

    def _note_plain(self, group: WeightGroup) -> None:
        """Notes a weight that the config has quantised and the file has not: it is taken as it is."""
        if f"{group.place.module}.weight" not in self.state:
            return
        said = self.quantisation
        if rule := said and said.rule_for(self._names(group), self._classes(group)):
            self.passed_over.setdefault(rule.key, []).append(group.any_header.name)

    def _classes(self, group: WeightGroup) -> frozenset[str]:
        """Names of the class of a weight's module, which a config may give instead of its own."""
        module = self.model.get_submodule(group.place.module)
        return frozenset(known.__name__ for known in (nn.Linear, nn.Embedding) if isinstance(module, known))

    def _take(self, header: Header, taker: Target, target: Tensor | None = None) -> None:
        self.plan.targets[header.name] = taker
        if target is not None:
            self.covered.add(id(target))

    def _plan_dequantised(self, group: WeightGroup) -> None:
        own = f"{group.place.module}.weight"
        if (target := self.state.get(own)) is None:
            self.plan.unused |= {header.name: _NO_SUCH_TENSOR for header in group.headers.values()}
            return
        rule = self._rule(group, self._classes(group))
        if target.dim() != 2:
            raise group.telling_header.error(f"must be absent, {own} is no matrix and not quantised")
        rows, columns = target.shape
        readers = group.readers(rule, (1, rows, columns), is_stacked=False)
        plain = PlainTarget(self.model, own, self.filled)
        whole = DequantisedTarget(plain, rule.format, columns, len(readers))
        for part, reader in readers.items():
            self._take(group.headers[part], whole.part(reader), target)
        checks = rule.layout.checks(rule.format, rows, columns)
        for part, header in group.checked_parts(rule, (1, rows, columns)).items():
            self._take(header, CheckedTarget(checks[part]))
        self._leave_rest(group)
        self.plan.dequantised[own] = rule.format.name

    def _leave_rest(self, group: WeightGroup) -> None:
        """Parts that nothing takes."""
        for part, header in group.headers.items():
            if header.name not in self.plan.targets:
                self.plan.unused.setdefault(header.name, UNUSED_PARTS.get(part, _NO_SUCH_TENSOR))

    def _rule(self, group: WeightGroup, classes: frozenset[str]) -> QuantisationRule:
        """The config's rule for a weight whose tensors are quantised."""
        header, said = group.telling_header, self.quantisation
        if said is None:
            group.refuse_foreign(NATIVE)
            raise header.error("belongs to a quantised weight, but config.json has no quantization_config")
        rule = said.rule_for(self._names(group), classes)
        if rule is None:
            raise header.error(
                f"belongs to a quantised weight, for which {said.key} of {said.file.name} has no format"
            )
        return rule

    def _names(self, group: WeightGroup) -> set[str]:
        """Names under which the config may know a weight's module; a stacked one stands for those of each expert."""
        place, raw = group.place, group.any_header.name.rpartition(".")[0]
        names = spellings(place.module, raw)
        if place.experts is not None and place.expert is None:
            names |= spellings(place.experts, raw)
            split = ("gate_proj", "up_proj") if place.projection == "gate_up_proj" else (place.projection,)
            for projection in split:
                names |= spellings(f"{place.experts}.0.{projection}", raw)
        return names

    def _rule_of_expert(self, group: WeightGroup) -> QuantisationRule | None:
        """None for a weight that neither tensors nor config have quantised."""
        is_stacked, said = group.place.expert is None, self.quantisation
        if not group.is_plain:
            return self._rule(group, _STACKED if is_stacked else _LINEAR)
        # Stacked experts are no linear layers: quantisers that go by classes pass them over.
        if rule := said and said.rule_for(self._names(group), frozenset() if is_stacked else _LINEAR):
            header = group.headers[""]
            raise header.error(
                f"must be quantised as {rule.format}, as {rule.key} says, got {header.dtype_word}"
            )
        return None

    def _plan_experts(self, module: str, groups: list[WeightGroup]) -> None:
        held = dict(self.model.named_modules()).get(module)
        if not isinstance(held, Gemma4Experts):
            names = [header.name for group in groups for header in group.headers.values()]
            self.plan.unused |= dict.fromkeys(names, _NO_SUCH_TENSOR)
            return
        self.covered |= {id(tensor) for tensor in held.state_dict(keep_vars=True).values()}
        rules = {group.place.module: rule for group in groups if (rule := self._rule_of_expert(group))}
        self.plan.targets |= ExpertsPlan(held, groups, rules).targets()
        for group in groups:
            self._leave_rest(group)
        if held.format is not None:
            self.plan.formats[module] = held.format.name
        for note in dict.fromkeys(rule.note for rule in rules.values()):
            if note and note not in self.plan.notes:
                self.plan.notes.append(note)

    def _check_complete(self) -> None:
        missing = [name for name, target in self.state.items() if id(target) not in self.covered]
        if missing:
            more = f", and {len(missing) - 1} more tensors" if missing[1:] else ""
            raise CheckpointError(f"missing{more}", file=self.folder, key=missing[0])
