"""Models that compressed-tensors wrote and transformers loaded, with our parts put in where the experts are plain."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma4ForCausalLM

from tests.integrations.transformers.models import answer, causal_model
from workbench.integrations.transformers import patch, unpatch

pytest.importorskip("compressed_tensors")
SCHEME = {
    "targets": ["Linear"],
    "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 16},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Every linear layer in four bits, the routers' projections among them."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config

    model = causal_model(moe_intermediate_size=16, intermediate_size=32)
    config = QuantizationConfig(
        config_groups={"group_0": SCHEME},
        format="pack-quantized",
        quantization_status="frozen",
        ignore=["lm_head"],
    )
    apply_quantization_config(model, config)
    for name, parameter in model.named_parameters():
        if name.endswith(("weight_scale", "weight_zero_point")):
            parameter.data.fill_(0.1 if name.endswith("scale") else 0)
    compressor = ModelCompressor.from_pretrained_model(model, quantization_format="pack-quantized")
    compressor.compress_model(model)
    folder = tmp_path_factory.mktemp("quantised")
    model.save_pretrained(folder)
    compressor.update_config(folder)
    return folder


@pytest.mark.parametrize("has_run", [False, True])
def test_a_model_whose_experts_are_plain_is_taken_before_and_after_it_was_unpacked(checkpoint, has_run):
    model = Gemma4ForCausalLM.from_pretrained(checkpoint, experts_implementation="eager")
    assert "model.layers.0.router.proj.weight_packed" in dict(model.named_parameters())
    if has_run:
        expected = answer(model)
    patch(model)
    patched = answer(model)
    unpatch(model)
    if not has_run:
        expected = answer(model)
    assert expected.isfinite().all()
    torch.testing.assert_close(patched, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(answer(model), expected)
