"""AWQ's `quantization_config`, of the version that packs for a matrix product (`gemm`)."""

from __future__ import annotations

from moe_kernels.formats import Int4
from workbench.models.gemma4.checkpoint.layouts import AwqLayout
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule


def read_awq(fields: Fields) -> Quantisation:
    """Reads the config.

    Raises:
        CheckpointError: names the key that is wrong or not read, and what is allowed.
    """
    if fields.get("bits") != 4:
        fields.fail(f"must be 4, got {fields.get('bits')!r}", "bits")
    if str(fields.get("version", "gemm")).lower() != "gemm":
        fields.fail(f"must be gemm, got {fields.get('version')!r}", "version")
    held = Int4(fields.group_size(), symmetric=not fields.boolean("zero_point", True))
    rule = QuantisationRule(key=fields.key, targets=("Linear",), format=held, layout=AwqLayout())
    # A module is meant by any part of its name.
    ignored = tuple(f"*{name}*" for name in fields.words("modules_to_not_convert"))
    return Quantisation(file=fields.file, key=fields.key, rules=(rule,), ignored=ignored, is_nested=True)
