"""transformers' own FP8 with blocks, where the scales are named `weight_scale_inv` and multiply all the same."""

from __future__ import annotations

from moe_kernels.formats import Fp8
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule

_BLOCK = [128, 128]


def read_fine_grained(fields: Fields) -> Quantisation:
    """Reads a `quantization_config` of the method `fp8`.

    Raises:
        CheckpointError: names the key that is wrong, and what is allowed.
    """
    if fields.get("weight_block_size") != _BLOCK:
        fields.fail(f"must be {_BLOCK}, got {fields.get('weight_block_size')!r}", "weight_block_size")
    ignored = fields.words("modules_to_not_convert")
    rule = QuantisationRule(key=fields.key, targets=("Linear",), format=Fp8("block"))
    return Quantisation(file=fields.file, key=fields.key, rules=(rule,), ignored=ignored, is_nested=True)
