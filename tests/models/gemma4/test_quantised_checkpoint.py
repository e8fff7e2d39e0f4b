from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("compressed_tensors", reason="needs compressed-tensors")

from tests.models.gemma4.quantised_checkpoints import (
    EXPERTS,
    HIDDEN,
    MODULE,
    assert_holds,
    compress_matrix,
    draw_theirs,
    edit_quantisation,
    edit_tensors,
    in_shards,
    scheme_of,
    write_compressed,
    write_config,
    write_experts,
)
from tests.models.gemma4.twins import random_ids
from workbench.models.gemma4 import (
    Gemma4Config,
    Gemma4ForCausalLM,
    load_checkpoint,
    safetensors_folder,
)

FORMATS = (
    "int4-g16",
    "int4-g16-asym",
    "int4-channel",
    "int4-channel-asym",
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "nvfp4",
)


@pytest.fixture(scope="module")
def theirs():
    return draw_theirs()


def dense_model(theirs, state):
    model = Gemma4ForCausalLM(Gemma4Config.from_hf(theirs.config.to_dict()), dtype=torch.bfloat16)
    model.load_state_dict(state, strict=False)
    return model.eval()


@torch.no_grad()
def assert_computes_the_same(model, reference):
    residual = torch.randn(7, HIDDEN, generator=torch.Generator().manual_seed(4)).bfloat16()
    (ours,), (theirs,) = (each.model.layers[0]._moe for each in (model, reference))
    found, expected = ours(residual).float(), theirs(residual).float()
    # Of eight-bit activations each value is off by up to a sixteenth, and by a thirtieth on average.
    tolerance = 0.08 if model.get_submodule(MODULE).format.dtype_word == "fp8_w8a8" else 0.02
    assert (found - expected).square().mean().sqrt() < tolerance * expected.square().mean().sqrt()


@pytest.mark.parametrize("family", ["split", "stacked"])
@pytest.mark.parametrize("name", FORMATS)
def test_experts_of_every_family_and_format_are_what_compressed_tensors_wrote(theirs, tmp_path, family, name):
    dense = write_experts(tmp_path, theirs, family, name)
    model, report = load_checkpoint(tmp_path)
    assert_holds(model, dense)
    assert_computes_the_same(model, dense_model(theirs, dense))
    assert {*report.used, *report.unused} == set(load_file(tmp_path / "model.safetensors"))
    assert dict(report.unused) == {}
    known = {"fp8-tensor": "fp8-channel", "fp8-block": "fp8-block-r16"} if family == "split" else {}
    assert report.formats == {MODULE: known.get(name, name)}
    assert (report.notes, report.dequantised) == ((), {})


@pytest.mark.parametrize("name", ["int4-channel-asym", "fp8-block", "fp8-channel"])
def test_sizes_that_fill_no_words_and_no_blocks_are_loaded_too(tmp_path, name):
    theirs = draw_theirs(hidden_size=44, moe_intermediate_size=13)
    dense = write_experts(tmp_path, theirs, "split", name)
    model, _ = load_checkpoint(tmp_path)
    assert_holds(model, dense)


RENAMED = {
    "a module of its own": lambda name: name.replace(".experts.", ".moe.experts."),
    "a model of more than text": lambda name: name.replace("model.", "model.language_model.", 1),
    "a model inside": lambda name: f"language_model.{name}",
    "both": lambda name: name.replace("model.", "model.language_model.", 1).replace(
        ".experts.", ".moe.experts."
    ),
}


@pytest.mark.parametrize("where", RENAMED)
@pytest.mark.parametrize(("family", "name"), [("split", "fp8-channel"), ("stacked", "int4-g16")])
def test_experts_are_found_wherever_exports_put_them(theirs, tmp_path, where, family, name):
    dense = write_experts(tmp_path, theirs, family, name, RENAMED[where])
    model, report = load_checkpoint(tmp_path)
    assert_holds(model, dense)
    assert report.unused == {}


@pytest.mark.parametrize("name", ["int4-g16", "int4-g16-asym", "fp8-tensor", "fp8-channel", "nvfp4"])
def test_a_model_that_compressed_tensors_compressed_as_a_whole_is_loaded(tmp_path, name):
    expected = write_compressed(tmp_path, draw_theirs(), name)
    model, report = load_checkpoint(tmp_path)
    weights = {key: tensor for key, tensor in expected.items() if key.endswith(".weight")}
    experts = {key: weights.pop(key) for key in list(weights) if ".experts." in key}
    joined = {"gate_up_proj": [], "down_proj": []}
    for expert in range(EXPERTS):
        gate, up, down = (experts[f"{MODULE}.{expert}.{name}_proj.weight"] for name in ("gate", "up", "down"))
        joined["gate_up_proj"].append(torch.cat([gate, up]))
        joined["down_proj"].append(down)
    assert_holds(model, {f"{MODULE}.{key}": torch.stack(found) for key, found in joined.items()})
    state = model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in weights.items())
    assert "model.layers.0.router.proj.weight" in report.dequantised
    assert (report.unused, report.notes) == ({}, ())


def test_groups_may_have_formats_of_their_own(theirs, tmp_path):
    dense = write_experts(tmp_path, theirs, "split", "nvfp4")
    module = "model.layers.0.self_attn.q_proj"

    def compress(held):
        found, dense[f"{module}.weight"] = compress_matrix(held.pop(f"{module}.weight"), "fp8-channel")
        held |= {f"{module}.{part}": tensor for part, tensor in found.items()}

    def add_group(said):
        group = json.loads(scheme_of("fp8-channel", targets=[r"re:.*self_attn\.q_proj"]).model_dump_json())
        said["config_groups"]["attention"] = group
        said.update(format="mixed-precision", ignore=["lm_head"])

    edit_tensors(tmp_path, compress)
    edit_quantisation(tmp_path, add_group)
    model, report = load_checkpoint(tmp_path)
    assert_holds(model, dense)
    assert torch.equal(model.get_parameter(f"{module}.weight"), dense[f"{module}.weight"])
    assert (report.formats, report.dequantised) == ({MODULE: "nvfp4"}, {f"{module}.weight": "fp8-channel"})


@pytest.mark.gpu
@pytest.mark.parametrize("name", FORMATS)
def test_on_a_gpu_the_same_is_held(theirs, tmp_path, name):
    write_experts(tmp_path, theirs, "split", name)
    model, _ = load_checkpoint(tmp_path, device="cuda")
    expected, _ = load_checkpoint(tmp_path)
    for key, tensor in expected.state_dict().items():
        found = model.state_dict()[key]
        assert found.device.type == "cuda"
        assert torch.equal(found.cpu().view(torch.uint8), tensor.view(torch.uint8)), key


def test_what_the_config_has_quantised_and_the_file_has_not_is_taken_and_noted(theirs, tmp_path):
    write_experts(tmp_path, theirs, "split", "int4-g16")
    write_config(tmp_path, theirs, scheme_of("int4-g16"), ignore=["re:.*self_attn.*", r"re:.*\.mlp\..*"])
    _, report = load_checkpoint(tmp_path)
    assert report.notes == (
        "model.layers.0.router.proj.weight: not quantised, though "
        "quantization_config.config_groups.group_0 covers such modules",
    )


def test_a_checkpoint_in_shards_gives_the_same(theirs, tmp_path):
    dense = write_experts(tmp_path, theirs, "split", "int4-g16-asym")
    files = in_shards(tmp_path)
    model, report = load_checkpoint(tmp_path)
    assert_holds(model, dense)
    assert dict(report.used) == files


def test_one_shard_is_open_at_a_time(theirs, tmp_path, monkeypatch):
    write_experts(tmp_path, theirs, "split", "nvfp4")
    in_shards(tmp_path)
    at_once, most = set(), []
    inner = safetensors_folder._open

    @contextmanager
    def counted(path):
        at_once.add(path)
        most.append(len(at_once))
        with inner(path) as content:
            yield content
        at_once.remove(path)

    monkeypatch.setattr(safetensors_folder, "_open", counted)
    load_checkpoint(tmp_path)
    assert (max(most), len(most)) == (1, 6)


def test_tensors_that_the_index_does_not_name_are_reported(theirs, tmp_path):
    write_experts(tmp_path, theirs, "split", "nvfp4")
    files = in_shards(tmp_path)
    extra = {**load_file(tmp_path / "model-0.safetensors"), "stray": torch.ones(1)}
    save_file({name: tensor.clone() for name, tensor in extra.items()}, tmp_path / "model-0.safetensors")
    _, report = load_checkpoint(tmp_path)
    assert (report.unused, report.used) == ({"stray": "the index does not name it"}, files)


def test_quantised_experts_keep_their_dtypes_when_the_model_changes_its_own(theirs, tmp_path):
    write_experts(tmp_path, theirs, "stacked", "fp8-block")
    model, report = load_checkpoint(tmp_path, dtype=torch.float32)
    before = {name: tensor.dtype for name, tensor in model.get_submodule(MODULE).state_dict().items()}
    after = {name: tensor.dtype for name, tensor in model.half().get_submodule(MODULE).state_dict().items()}
    assert before == after
    assert (report.dtype, model.dtype) == ("float32", torch.float16)
    assert set(before) == {"gate_up_proj", "gate_up_proj_scale", "down_proj", "down_proj_scale"}


def test_a_quantised_model_generates(theirs, tmp_path):
    write_experts(tmp_path, theirs, "split", "int4-g16")
    model, _ = load_checkpoint(tmp_path, dtype=torch.float16)
    ids = random_ids(2, 5)
    assert model.generate(ids, 3).shape == (2, 8)
    assert model.get_submodule(MODULE).gate_up_proj_scale.dtype is torch.bfloat16
