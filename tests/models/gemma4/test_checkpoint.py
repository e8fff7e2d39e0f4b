from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.gemma4.configuration_gemma4 import Gemma4Config as HfWholeConfig

from tests.models.gemma4.twins import (
    FP32,
    draw_assistants,
    draw_models,
    hf_assistant_config,
    hf_config,
    random_ids,
)
from workbench.base.errors import InputError
from workbench.models.gemma4 import CheckpointError, load_assistant, load_checkpoint

INDEX = "model.safetensors.index.json"


@pytest.fixture
def theirs():
    return draw_models(hf_config(), 5)[1]


@pytest.fixture
def folder(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder, change, file="model.safetensors"):
    # Cloned, since what was loaded is the file itself, mapped into memory.
    save_file(change({name: held.clone() for name, held in load_file(folder / file).items()}), folder / file)


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("shard", [None, "20KB"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_transformers_saved_computes_the_same(tmp_path, shard, tied):
    theirs = draw_models(hf_config(tie_word_embeddings=tied), 5)[1]
    theirs.save_pretrained(tmp_path, **({"max_shard_size": shard} if shard else {}))
    assert (tmp_path / INDEX).exists() == bool(shard)
    ours, report = load_checkpoint(tmp_path)
    ids = random_ids(2, 12)
    torch.testing.assert_close(ours(ids), theirs(ids).logits, **FP32)
    assert (report.tied, report.dtype, report.depth) == (tied, "float32", "4 layers")
    assert (len(set(report.used.values())) > 1) == bool(shard)
    names = set(theirs.state_dict()) - ({"lm_head.weight"} if tied else set())
    assert (set(report.used), dict(report.unused)) == (names, {})
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("prefix", ["model.language_model.", "language_model.model."])
def test_a_text_model_is_found_inside_a_larger_one(folder, theirs, prefix):
    tower = {"model.vision_tower.patch.weight": torch.ones(2, 2)}
    rewrite(folder, lambda held: {prefix + name.removeprefix("model."): held[name] for name in held} | tower)
    ids = random_ids(1, 9)
    expected = theirs(ids).logits
    # Only now: it takes the implementation of attention out of the config that it is given.
    whole = HfWholeConfig(text_config=theirs.config).to_dict()
    (folder / "config.json").write_text(json.dumps({**whole, "dtype": "float32"}))
    ours, report = load_checkpoint(folder)
    torch.testing.assert_close(ours(ids), expected, **FP32)
    assert report.unused == {"model.vision_tower.patch.weight": "no part of the text model"}


def test_weights_take_the_dtype_of_the_config_unless_another_is_asked_for(theirs, tmp_path):
    theirs.to(torch.bfloat16).save_pretrained(tmp_path)
    kept, report = load_checkpoint(tmp_path)
    wider, _ = load_checkpoint(tmp_path, dtype=torch.float32)
    assert (kept.dtype, wider.dtype, report.dtype) == (torch.bfloat16, torch.float32, "bfloat16")
    assert {tensor.dtype for tensor in wider.state_dict().values()} == {torch.float32}


def test_the_first_layers_can_be_loaded_alone(folder):
    ours, report = load_checkpoint(folder, layers=2)
    whole, _ = load_checkpoint(folder)
    assert (len(ours.model.layers), report.depth) == (2, "2 of 4 layers")
    assert report.unused["model.layers.3.layer_scalar"] == "layer 3 is beyond the 2 layers that were loaded"
    assert torch.equal(ours.model.layers[1].mlp.up_proj.weight, whole.model.layers[1].mlp.up_proj.weight)


def test_tensors_that_the_model_lacks_are_reported(folder):
    rewrite(folder, lambda held: {**held, "model.layers.1.self_attn.v_proj.weight": torch.ones(2)})
    _, report = load_checkpoint(folder)
    assert report.unused == {"model.layers.1.self_attn.v_proj.weight": "the model has no such tensor"}


@pytest.mark.parametrize("options", [{}, {"use_ordered_embeddings": True, "num_centroids": 8}])
def test_an_assistant_that_transformers_saved_drafts_the_same(tmp_path, options):
    hf = hf_assistant_config(hf_config(), **options, centroid_intermediate_top_k=2)
    expected, theirs = draw_assistants(hf, 5)
    theirs.save_pretrained(tmp_path)
    ours, report = load_assistant(tmp_path)
    assert report.unused == {}
    assert ours.lm_head.weight is ours.model.embed_tokens.weight
    found, wanted = ours.state_dict(), expected.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_an_assistant_is_no_text_model_and_the_reverse(folder, tmp_path):
    theirs = draw_assistants(hf_assistant_config(hf_config()), 5)[1]
    theirs.save_pretrained(tmp_path / "assistant")
    with pytest.raises(CheckpointError, match="model_type: must be a text model, got 'gemma4_assistant'"):
        load_checkpoint(tmp_path / "assistant")
    with pytest.raises(CheckpointError, match=r"config.json: text_config: missing"):
        load_assistant(folder)


def test_a_missing_tensor_is_named_with_the_folder(folder):
    rewrite(folder, lambda held: {name: held[name] for name in held if "2.mlp" not in name})
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    name = "model.layers.2.mlp.gate_proj.weight"
    assert str(error.value) == f"{folder}: {name}: missing, and 2 more tensors"
    assert isinstance(error.value, (InputError, ValueError))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(3), r"must have shape \[32\], got \[3\]"),
        (torch.ones(32, dtype=torch.int8), "must be one of bfloat16, float16, float32, got int8"),
    ],
)
def test_a_wrong_tensor_is_named_with_its_file(folder, tensor, message):
    rewrite(folder, lambda held: {**held, "model.norm.weight": tensor})
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: model\.norm\.weight: {message}"):
        load_checkpoint(folder)


def test_a_head_that_contradicts_the_tie_is_refused(folder):
    rewrite(folder, lambda held: {**held, "lm_head.weight": held["model.embed_tokens.weight"] + 1})
    with pytest.raises(CheckpointError, match=r"must equal .*, to which the config ties it"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["experts.gate_up_proj_packed", "experts.0.gate_proj.weight_scale"])
def test_quantised_tensors_are_refused_by_name(folder, name):
    whole = f"model.layers.0.{name}"
    rewrite(folder, lambda held: {**held, whole: torch.ones(2)})
    with pytest.raises(CheckpointError, match=f"{whole}: belongs to a quantised weight"):
        load_checkpoint(folder)


def test_a_quantised_config_is_refused_by_its_method(folder):
    edit_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(CheckpointError, match=r"quantization_config.quant_method: .*, got 'bitsandbytes'"):
        load_checkpoint(folder)


@pytest.fixture
def sharded(theirs, tmp_path):
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    return tmp_path


@pytest.mark.parametrize(
    "file", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", 3, "..\\x.safetensors"]
)
def test_an_index_that_leads_out_of_the_folder_is_refused(sharded, file):
    files = json.loads((sharded / INDEX).read_text())["weight_map"]
    edit_json(sharded / INDEX, weight_map={**files, "model.norm.weight": file})
    with pytest.raises(
        CheckpointError, match=r"weight_map\.model\.norm\.weight: must name a file in this folder"
    ):
        load_checkpoint(sharded)


def test_a_shard_that_is_missing_or_lacks_a_tensor_is_named(sharded):
    files = json.loads((sharded / INDEX).read_text())["weight_map"]
    edit_json(sharded / INDEX, weight_map={**files, "model.extra": files["model.norm.weight"]})
    with pytest.raises(
        CheckpointError, match=rf"{files['model.norm.weight']}: model\.extra: missing, though"
    ):
        load_checkpoint(sharded)
    (sharded / files["model.norm.weight"]).unlink()
    with pytest.raises(CheckpointError, match=f"{files['model.norm.weight']}: does not exist"):
        load_checkpoint(sharded)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "config.json: is no JSON"),
        ("config.json", b"[]", "config.json: must hold an object, got list"),
        ("config.json", b"{}", "config.json: num_hidden_layers: missing"),
        ("model.safetensors", b"\x10", "model.safetensors: is no readable safetensors file"),
    ],
)
def test_a_damaged_file_is_named(folder, file, content, message):
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_a_truncated_file_is_named(folder):
    held = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(held[: len(held) // 2])
    with pytest.raises(CheckpointError, match=r"model.safetensors: is no readable safetensors file"):
        load_checkpoint(folder)


def test_a_folder_without_weights_or_config_is_named(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"must hold model.safetensors or model.safetensors.index.json"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"config.json: cannot be read"):
        load_checkpoint(tmp_path / "nowhere")
