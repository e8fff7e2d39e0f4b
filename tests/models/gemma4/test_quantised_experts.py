from __future__ import annotations

import copy

import pytest
import torch

from moe_kernels.formats import Fp8, Int4, parse_format
from workbench.models.gemma4 import Gemma4Config, Gemma4Experts, Gemma4MoE

CONFIG = Gemma4Config.preset("tiny")
FORMATS = ("int4-g32", "int4-channel-asym", "fp8-channel", "fp8-block", "nvfp4")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(5)


def routed(tokens=5):
    hidden = torch.randn(tokens, CONFIG.hidden_size, dtype=torch.bfloat16)
    ids = torch.randint(CONFIG.num_experts, (tokens, CONFIG.top_k_experts))
    return hidden, torch.rand(tokens, CONFIG.top_k_experts), ids


def dequantised(experts):
    """The same experts in bf16."""
    plain = Gemma4Experts(CONFIG, dtype=torch.bfloat16)
    for name in ("gate_up_proj", "down_proj"):
        held = experts.projection(name)
        getattr(plain, name).data = held.format.dequantise(held, torch.bfloat16)
    return plain


@pytest.mark.parametrize("name", FORMATS)
def test_experts_made_in_a_format_compute_what_their_weights_say(name):
    experts = Gemma4Experts(CONFIG, format=name, dtype=torch.bfloat16)
    call = routed()
    found, expected = experts(*call).float(), dequantised(experts)(*call).float()
    tolerance = 0.08 if name.startswith("fp8") else 0.02
    assert (found - expected).square().mean().sqrt() < tolerance * expected.square().mean().sqrt()
    assert list(experts.parameters()) == []
    assert f"format={name}" in repr(experts)


@pytest.mark.parametrize("name", FORMATS)
def test_quantising_experts_keeps_what_they_were_as_well_as_the_format_can(name):
    experts = Gemma4Experts(CONFIG, dtype=torch.bfloat16)
    expected = {
        each: parse_format(name).quantise(getattr(experts, each)) for each in ("gate_up_proj", "down_proj")
    }
    experts.quantise(name)
    for each, wanted in expected.items():
        found = experts.projection(each).tensors()
        assert all(torch.equal(found[key], tensor) for key, tensor in wanted.tensors().items())
    with pytest.raises(ValueError, match=f"format: the experts are quantised already, as {name}"):
        experts.quantise(name)


def test_buffers_are_named_as_in_checkpoints():
    packed = Gemma4Experts(CONFIG, format="int4-g32-asym").state_dict()
    assert set(packed) == {
        f"{name}_{part}"
        for name in ("gate_up_proj", "down_proj")
        for part in ("packed", "scale", "zero_point")
    }
    assert set(Gemma4Experts(CONFIG, format="fp8-channel").state_dict()) == {
        "gate_up_proj",
        "gate_up_proj_scale",
        "down_proj",
        "down_proj_scale",
    }
    assert "down_proj_global_scale" in Gemma4Experts(CONFIG, format="nvfp4").state_dict()


@pytest.mark.parametrize("name", FORMATS)
def test_a_state_is_loaded_into_experts_of_the_same_format(name):
    one, other = (Gemma4Experts(CONFIG, format=name, dtype=torch.bfloat16) for _ in range(2))
    other.load_state_dict(one.state_dict())
    call = routed()
    assert torch.equal(one(*call), other(*call))
    assert torch.equal(one(*call), copy.deepcopy(one)(*call))


@pytest.mark.parametrize("name", FORMATS)
def test_their_dtypes_stay_when_a_model_is_moved_or_changes_its_own(name):
    experts = Gemma4Experts(CONFIG, format=name, dtype=torch.bfloat16)
    before = {key: tensor.dtype for key, tensor in experts.state_dict().items()}
    for changed in (
        experts.float(),
        experts.to(torch.float16),
        experts.to("meta"),
        experts.to_empty(device="cpu"),
    ):
        assert {key: tensor.dtype for key, tensor in changed.state_dict().items()} == before


def test_a_layer_takes_little_more_than_its_packed_weights():
    experts = Gemma4Experts(CONFIG, format="int4-g32", dtype=torch.bfloat16)
    values = CONFIG.num_experts * 3 * CONFIG.hidden_size * CONFIG.moe_intermediate_size
    assert sum(tensor.nbytes for tensor in experts.buffers()) == values // 2 + 2 * values // 32


def test_the_block_of_router_and_experts_passes_the_format_on():
    block = Gemma4MoE(CONFIG, format=Fp8("block"), dtype=torch.bfloat16)
    assert block.experts.format == Fp8("block")
    assert block(torch.randn(3, CONFIG.hidden_size, dtype=torch.bfloat16)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "message"), [("int4-g128", "group size 128 does not divide"), ("int5", "format")]
)
def test_a_format_that_does_not_fit_or_exist_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        Gemma4Experts(CONFIG, format=name)


def test_weights_of_other_shapes_or_two_formats_are_refused():
    experts = Gemma4Experts(CONFIG, format="int4-g32", device="meta")
    gate_up, down = (experts.projection(name) for name in ("gate_up_proj", "down_proj"))
    with pytest.raises(ValueError, match="down: must be int4-g32 as gate_up, got int4-g16"):
        experts.hold(gate_up, Int4(16).empty(*down.shape, device="meta"))
    with pytest.raises(ValueError, match=r"gate_up_proj: must have shape \[16, 64, 64\], got \[16, 64, 32\]"):
        experts.hold(down, down)
