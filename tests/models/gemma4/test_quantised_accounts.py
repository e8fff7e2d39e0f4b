"""Other accounts of a quantisation than compressed-tensors', and weights that are dequantised."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("compressed_tensors", reason="needs compressed-tensors")

from tests.models.gemma4.quantised_checkpoints import (
    EXPERTS,
    MODULE,
    assert_holds,
    compress_matrix,
    draw_theirs,
    edit_config,
    edit_quantisation,
    edit_tensors,
    scheme_of,
    write_config,
    write_experts,
)
from tests.models.gemma4.twins import draw_assistants, hf_assistant_config, hf_config
from workbench.models.gemma4 import (
    CheckpointError,
    load_assistant,
    load_checkpoint,
)


@pytest.fixture(scope="module")
def theirs():
    return draw_theirs()


def as_modelopt(tensors):
    """The same weights under ModelOpt's names."""
    names = {
        "weight_packed": "weight",
        "weight_scale": "weight_scale",
        "weight_global_scale": "weight_scale_2",
    }
    renamed = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        if part in names:
            renamed[f"{module}.{names[part]}"] = (
                tensor.reciprocal() if part == "weight_global_scale" else tensor
            )
            renamed[f"{module}.input_scale"] = torch.tensor(0.5)
    return renamed


@pytest.mark.parametrize("beside", [True, False])
def test_modelopts_nvfp4_says_so_in_its_own_file_or_in_the_config(theirs, tmp_path, beside):
    dense = write_experts(tmp_path, theirs, "split", "nvfp4")
    held = load_file(tmp_path / "model.safetensors")
    experts = as_modelopt({name: tensor for name, tensor in held.items() if ".experts." in name})
    save_file(
        {**{name: held[name] for name in held if ".experts." not in name}, **experts},
        tmp_path / "model.safetensors",
    )
    said = {
        "quant_algo": "NVFP4",
        "group_size": 16,
        "exclude_modules": ["*self_attn*", "*.mlp.*", "*router*", "lm_head"],
    }
    write_config(tmp_path, theirs)
    if beside:
        (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": said}))
    else:
        edit_config(tmp_path, quantization_config={"quant_method": "modelopt", **said})
    model, report = load_checkpoint(tmp_path)
    for name in ("gate_up_proj", "down_proj"):
        weights = model.get_submodule(MODULE).projection(name)
        found = weights.format.dequantise(weights)
        torch.testing.assert_close(found, dense[f"{MODULE}.{name}"].float(), rtol=2**-7, atol=0)
    assert len(report.unused) == 3 * EXPERTS
    assert set(report.unused.values()) == {"activations have no static scales here"}
    assert report.notes == ("nvfp4: activations stay in 16 bits",)


FP8_ACCOUNTS = {
    "ModelOpt per tensor": ("fp8-tensor", {"quant_method": "modelopt", "quant_algo": "FP8"}, "weight_scale"),
    "ModelOpt layer by layer": (
        "fp8-channel",
        {
            "quant_method": "modelopt",
            "quant_algo": "MIXED_PRECISION",
            "quantized_layers": {"*.experts.*": {"quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"}},
        },
        "weight_scale",
    ),
    "transformers' blocks": (
        "fp8-block",
        {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]},
        "weight_scale_inv",
    ),
}


@pytest.mark.parametrize("account", FP8_ACCOUNTS)
def test_other_accounts_of_fp8_are_read(theirs, tmp_path, account):
    name, said, scale = FP8_ACCOUNTS[account]
    dense = write_experts(tmp_path, theirs, "split", name)
    edit_config(tmp_path, quantization_config=said)
    edit_tensors(
        tmp_path,
        lambda held: [
            held.update({key.replace("weight_scale", scale): held.pop(key).float()})
            for key in list(held)
            if key.endswith("weight_scale")
        ],
    )
    model, _ = load_checkpoint(tmp_path)
    assert_holds(model, dense)


@pytest.mark.parametrize("name", ["int4-g16-asym", "fp8-channel", "fp8-block", "nvfp4"])
def test_linear_layers_and_the_router_are_dequantised_and_reported(theirs, tmp_path, name):
    state = {key: tensor.clone() for key, tensor in theirs.state_dict().items() if key != "lm_head.weight"}
    linear = [
        key for key, module in theirs.named_modules() if type(module) is torch.nn.Linear and key != "lm_head"
    ]
    assert "model.layers.0.router.proj" in linear
    for module in linear:
        matrix = state.pop(f"{module}.weight")
        found, state[f"{module}.dense"] = compress_matrix(matrix, name)
        state |= {f"{module}.{part}": tensor for part, tensor in found.items()}
    expected = {f"{module}.weight": state.pop(f"{module}.dense") for module in linear}
    save_file(state, tmp_path / "model.safetensors")
    write_config(tmp_path, theirs, scheme_of(name))
    model, report = load_checkpoint(tmp_path)
    for key, tensor in expected.items():
        assert torch.equal(model.get_parameter(key), tensor), key
    assert report.dequantised == dict.fromkeys(expected, name)
    assert report.formats == {}


def test_an_assistants_weights_are_dequantised(tmp_path):
    _, assistant = draw_assistants(hf_assistant_config(hf_config()), 5)
    assistant.save_pretrained(tmp_path)
    expected = {}

    def compress(held):
        for key in [key for key in held if ".mlp." in key or "projection" in key]:
            found, expected[key] = compress_matrix(held.pop(key), "fp8-channel")
            held |= {f"{key.removesuffix('.weight')}.{part}": tensor for part, tensor in found.items()}

    edit_tensors(tmp_path, compress)
    said = json.loads(scheme_of("fp8-channel").model_dump_json())
    edit_config(
        tmp_path, quantization_config={"quant_method": "compressed-tensors", "config_groups": {"all": said}}
    )
    model, report = load_assistant(tmp_path)
    assert len(expected) > 3
    assert report.dequantised == dict.fromkeys(expected, "fp8-channel")
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in expected.items())


def test_a_quantised_head_that_contradicts_the_tie_is_refused(theirs, tmp_path):
    write_experts(tmp_path, theirs, "stacked", "fp8-channel")

    def add_head(held):
        found, _ = compress_matrix(held["model.embed_tokens.weight"] + 1, "fp8-channel")
        held |= {f"lm_head.{part}": tensor for part, tensor in found.items()}

    edit_tensors(tmp_path, add_head)
    edit_quantisation(tmp_path, lambda said: said.update(ignore=[]))
    with pytest.raises(CheckpointError, match=r"must equal \S+, to which the config ties it"):
        load_checkpoint(tmp_path)
