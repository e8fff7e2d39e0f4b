"""What the names of tensors in a checkpoint mean: which weight of the model, and which part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Where a text model sits inside the model of text, images and sound, in the orders that have been in use.
_PREFIXES = (
    ("model.language_model.model.", "model."),
    ("model.language_model.lm_head.", "lm_head."),
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("language_model.", "model."),
)
_OWNED = ("model.", "lm_head.", "pre_projection.", "post_projection.", "masked_embedding.")
_FOREIGN = ("model.vision_tower.", "model.audio_tower.", "model.embed_vision.", "model.embed_audio.")
# Some exports put router and experts under a module of their own, as vLLM's model does.
_MOE = re.compile(r"^(model\.layers\.\d+)\.moe\.(experts|router|gate_up_proj|down_proj)(?=[._])")
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_EXPERTS = re.compile(
    r"(?P<module>model\.layers\.\d+\.experts)\.(?:(?P<expert>\d{1,6})\.)?"
    r"(?P<projection>gate_up_proj|gate_proj|up_proj|down_proj)(?:[._](?P<part>.+))?"
)
# Parts that are spelled without the `weight_` in front.
_BARE_PARTS = ("input_scale", "input_global_scale", "qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True, slots=True)
class WeightPart:
    """One tensor of a weight.

    Attributes:
        module: the weight's module, named as in a text model.
        part: which of the weight's tensors: empty for the weight itself, else for example `packed`, `scale`.
        experts: the module of the experts, where it is one of theirs.
        expert: its number where each expert has tensors of its own.
    """

    module: str
    part: str
    experts: str | None = None
    expert: int | None = None
    projection: str = ""


def own_name(name: str) -> str | None:
    """The tensor's name in a text model or assistant; None where it belongs to neither."""
    if name.startswith(_FOREIGN):
        return None
    own = _without_prefix(name)
    if own is None:
        return None
    moved = _MOE.match(own)
    if not moved:
        return own
    inside = moved[2] if moved[2] in ("experts", "router") else f"experts.{moved[2]}"
    return f"{moved[1]}.{inside}{own[moved.end() :]}"


def _without_prefix(name: str) -> str | None:
    for prefix, own in _PREFIXES:
        if name.startswith(prefix):
            return own + name.removeprefix(prefix)
    return name if name.startswith(_OWNED) else None


def layer_of(own: str) -> int | None:
    """The number of the layer that a tensor is in."""
    match = _LAYER.match(own)
    return int(match[1]) if match else None


def weight_part(own: str) -> WeightPart | None:
    """Reads a tensor's own name; None for one that is no weight of a projection, as norms and scales are."""
    if match := _EXPERTS.fullmatch(own):
        expert, projection = match["expert"], match["projection"]
        inside = projection if expert is None else f"{expert}.{projection}"
        part = _part(match["part"] or "weight")
        module = match["module"]
        number = None if expert is None else int(expert)
        return WeightPart(f"{module}.{inside}", part, module, number, projection)
    module, _, leaf = own.rpartition(".")
    if leaf == "weight" or leaf.startswith("weight_") or leaf in _BARE_PARTS:
        return WeightPart(module, _part(leaf))
    return None


def _part(leaf: str) -> str:
    return "" if leaf == "weight" else leaf.removeprefix("weight_")


def spellings(module: str, raw: str) -> set[str]:
    """Names under which configs may know a module: as in the file, and with every prefix that has been in use."""
    names = {module, raw}
    for prefix, own in _PREFIXES:
        if module.startswith(own):
            names.add(prefix + module.removeprefix(own))
    return names
