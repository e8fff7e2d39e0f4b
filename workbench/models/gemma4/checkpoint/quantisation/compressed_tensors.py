"""The `quantization_config` of compressed-tensors: groups of modules, and how each group's weights are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moe_kernels.formats import Fp8, Int4, Nvfp4, WeightFormat
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule

# How each kind of weight may be stored; of what is stored dense, config and tensors have nothing in common.
_STORED: Mapping[type[WeightFormat], tuple[str, ...]] = {
    Int4: ("pack-quantized",),
    Fp8: ("float-quantized", "naive-quantized"),
    Nvfp4: ("nvfp4-pack-quantized",),
}
_DENSE = ("dense", "fakequant")
_KNOWN = dict.fromkeys([word for words in _STORED.values() for word in words] + [*_DENSE, "mixed-precision"])
_BLOCK = [128, 128]


def read_compressed_tensors(fields: Fields) -> Quantisation:
    """Reads the config.

    Raises:
        CheckpointError: names the key that is wrong or unknown, and what is allowed.
    """
    for name, setting in (("transform_config", "config_groups"), ("sparsity_config", "format")):
        held = fields.inner(name)
        if held and held.get(setting) not in (None, {}, "dense"):
            held.fail("must be empty: transformed and sparse weights are not read", setting)
    if (groups := fields.inner("config_groups")) is None:
        fields.fail("missing", "config_groups")
    rules = [_group(groups, name, fields) for name in groups.values]
    return Quantisation(
        file=fields.file,
        key=fields.key,
        rules=tuple(rule for rule in rules if rule is not None),
        ignored=fields.words("ignore"),
    )


def _group(groups: Fields, name: str, whole: Fields) -> QuantisationRule | None:
    """The rule of a group; None where it leaves weights as they are."""
    group = groups.inner(name)
    weights = group and group.inner("weights")
    if group is None or weights is None:
        return None
    source = group if group.get("format") else whole
    source.choose("format", _KNOWN)
    stored = source.get("format")
    if stored in _DENSE:
        return None
    found = _weight_format(weights)
    allowed = _STORED[type(found)]
    if stored not in allowed and (stored != "mixed-precision" or source is group):
        source.fail(f"must be {' or '.join(allowed)} for {found} weights, got {stored!r}", "format")
    note = _note(found, group.inner("input_activations"))
    return QuantisationRule(key=group.key, targets=group.words("targets"), format=found, note=note)


def _weight_format(weights: Fields) -> WeightFormat:
    kind = f"{weights.get('type', 'int')} {weights.get('num_bits', 8)} bits per {_strategy(weights)}"
    if kind not in _FORMATS:
        weights.fail(f"must be one of {', '.join(_FORMATS)}, got {kind}")
    if weights.get("actorder") == "group":
        weights.fail(
            "must be null, static or weight: groups in the order of activations are not read", "actorder"
        )
    return _FORMATS[kind](weights)


def _strategy(weights: Fields) -> str:
    group = weights.get("group_size")
    implied = "tensor" if group is None else "channel" if group == -1 else "group"
    return str(weights.get("strategy", implied))


def _int4_groups(weights: Fields) -> WeightFormat:
    return Int4(weights.group_size(), symmetric=weights.boolean("symmetric", True))


def _int4_channels(weights: Fields) -> WeightFormat:
    return Int4(None, symmetric=weights.boolean("symmetric", True))


def _fp8(weights: Fields) -> WeightFormat:
    if not weights.boolean("symmetric", True):
        weights.fail("must be true for floating-point weights", "symmetric")
    scales = _strategy(weights)
    if scales == "block" and weights.get("block_structure") != _BLOCK:
        weights.fail(f"must be {_BLOCK}, got {weights.get('block_structure')!r}", "block_structure")
    return Fp8(scales)  # type: ignore[arg-type]


def _nvfp4(weights: Fields) -> WeightFormat:
    if weights.get("group_size") != 16:
        weights.fail(
            f"must be 16 for four-bit floating point, got {weights.get('group_size')!r}", "group_size"
        )
    return Nvfp4()


_FORMATS: Mapping[str, Callable[[Fields], WeightFormat]] = {
    "int 4 bits per group": _int4_groups,
    "int 4 bits per channel": _int4_channels,
    "float 8 bits per tensor": _fp8,
    "float 8 bits per channel": _fp8,
    "float 8 bits per block": _fp8,
    "float 4 bits per tensor_group": _nvfp4,
}


def _note(found: WeightFormat, activations: Fields | None) -> str:
    """How activations are treated otherwise than the config says."""
    if not isinstance(found, Fp8):
        return f"{found}: activations stay in 16 bits" if activations else ""
    if activations is None:
        return f"{found}: activations are quantised per token, the config has them in 16 bits"
    static = activations.get("dynamic", False) is False
    return f"{found}: activations are quantised per token, not by static scales" if static else ""
