"""GPTQ's `quantization_config`: four bits for every linear layer that is not left out by its tensors."""

from __future__ import annotations

from moe_kernels.formats import Int4
from workbench.models.gemma4.checkpoint.layouts import GptqLayout
from workbench.models.gemma4.checkpoint.quantisation.fields import Fields
from workbench.models.gemma4.checkpoint.quantisation.quantisation import Quantisation, QuantisationRule

_STORED_LESS = {"gptq": 1, "gptq_v2": 0}


def read_gptq(fields: Fields) -> Quantisation:
    """Reads the config.

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
    rule = QuantisationRule(
        key=fields.key, targets=("Linear",), format=held, layout=GptqLayout(version, group)
    )
    return Quantisation(file=fields.file, key=fields.key, rules=(rule,))
