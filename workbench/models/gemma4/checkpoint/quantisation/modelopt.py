"""ModelOpt's account: an algorithm for all layers but those it excludes, or one for each layer."""

from __future__ import annotations

from collections.abc import Mapping

from moe_kernels.formats import Fp8, Nvfp4, WeightFormat
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule

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


def read_modelopt(fields: Fields) -> Quantisation:
    """Reads `hf_quant_config.json`, or the same inside a `quantization_config`.

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
