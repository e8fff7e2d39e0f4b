"""What each method but compressed-tensors writes of itself: AWQ, GPTQ, transformers' own FP8, and ModelOpt."""

from __future__ import annotations

from collections.abc import Mapping

from moe_kernels.formats import Fp8, Int4, Nvfp4, WeightFormat
from workbench.models.gemma4.checkpoint.layouts import AwqLayout, GptqLayout
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule

_STORED_LESS = {"gptq": 1, "gptq_v2": 0}
_BLOCK = [128, 128]
_STATIC = "activations are quantised per token, not by static scales"
_WIDE = "activations stay in 16 bits"
_ALGORITHMS: Mapping[str, tuple[WeightFormat, str]] = {
    "NVFP4": (Nvfp4(), _WIDE),
    "FP8": (Fp8("tensor"), _STATIC),
    "FP8_PER_CHANNEL_PER_TOKEN": (Fp8("channel"), ""),
    "FP8_PB_WO": (Fp8("block"), "activations are quantised per token, the config has them in 16 bits"),
}
_MIXED = "MIXED_PRECISION"
_EVERY = ("Linear",)


def read_awq(fields: Fields) -> Quantisation:
    """Reads AWQ's config, of the version that packs for a matrix product (`gemm`).

    Raises:
        CheckpointError: names the key that is wrong or not read, and what is allowed.
    """
    if fields.get("bits") != 4:
        fields.fail(f"must be 4, got {fields.get('bits')!r}", "bits")
    if str(fields.get("version", "gemm")).lower() != "gemm":
        fields.fail(f"must be gemm, got {fields.get('version')!r}", "version")
    held = Int4(fields.group_size(), symmetric=not fields.boolean("zero_point", True))
    rule = QuantisationRule(key=fields.key, targets=_EVERY, format=held, layout=AwqLayout())
    # A module is meant by any part of its name.
    ignored = tuple(f"*{name}*" for name in fields.words("modules_to_not_convert"))
    return Quantisation(file=fields.file, key=fields.key, rules=(rule,), ignored=ignored, is_nested=True)


def read_gptq(fields: Fields) -> Quantisation:
    """Reads GPTQ's config: every linear layer that is not left out by its tensors.

    Raises:
        CheckpointError: names the key that is wrong or not read, and what is allowed.
    """
    if fields.get("bits") != 4:
        fields.fail(f"must be 4, got {fields.get('bits')!r}", "bits")
    if fields.boolean("desc_act", False):
        fields.fail("must be false: groups in the order of activations are not read", "desc_act")
    version = fields.choose("checkpoint_format", _STORED_LESS) if fields.get("checkpoint_format") else 1
    group = fields.group_size()
    held = Int4(group, symmetric=fields.boolean("sym", True))
    rule = QuantisationRule(key=fields.key, targets=_EVERY, format=held, layout=GptqLayout(version, group))
    return Quantisation(file=fields.file, key=fields.key, rules=(rule,))


def read_fine_grained(fields: Fields) -> Quantisation:
    """Reads the config of `fp8`, with blocks, whose scales are named `weight_scale_inv` and multiply all the same.

    Raises:
        CheckpointError: names the key that is wrong, and what is allowed.
    """
    if fields.get("weight_block_size") != _BLOCK:
        fields.fail(f"must be {_BLOCK}, got {fields.get('weight_block_size')!r}", "weight_block_size")
    ignored = fields.words("modules_to_not_convert")
    rule = QuantisationRule(key=fields.key, targets=_EVERY, format=Fp8("block"))
    return Quantisation(file=fields.file, key=fields.key, rules=(rule,), ignored=ignored, is_nested=True)


def read_modelopt(fields: Fields) -> Quantisation:
    """Reads ModelOpt's `hf_quant_config.json`, or the same inside a `quantization_config`.

    Raises:
        CheckpointError: names the key that is wrong or unknown, and what is allowed.
    """
    inner = fields.inner("quantization") or fields
    if inner.get("quant_algo") == _MIXED:
        layers = inner.inner("quantized_layers")
        if layers is None:
            inner.fail(f"missing, {_MIXED} has one", "quantized_layers")
        rules = [_rule(layer, (name,)) for name in layers.values if (layer := layers.inner(name))]
    else:
        rules = [_rule(inner, _EVERY)]
    ignored = (*inner.words("exclude_modules"), *inner.words("ignore"))
    return Quantisation(file=fields.file, key=inner.key, rules=tuple(rules), ignored=ignored, is_nested=True)


def _rule(fields: Fields, targets: tuple[str, ...]) -> QuantisationRule:
    found, note = fields.choose("quant_algo", _ALGORITHMS)
    group = fields.get("group_size", 16)
    if isinstance(found, Nvfp4) and group != 16:
        fields.fail(f"must be 16 for NVFP4, got {group!r}", "group_size")
    return QuantisationRule(key=fields.key, targets=targets, format=found, note=note and f"{found}: {note}")
