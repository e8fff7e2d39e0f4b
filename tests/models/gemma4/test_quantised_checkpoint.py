from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

pytest.importorskip("compressed_tensors", reason="needs compressed-tensors")

from tests.models.gemma4.quantised_checkpoints import (
    EXPERTS,
    HIDDEN,
    INNER,
    compress_matrix,
    draw_theirs,
    scheme_of,
    write_compressed,
    write_config,
    write_experts,
)
from tests.models.gemma4.twins import draw_assistants, hf_assistant_config, hf_config, random_ids
from workbench.models.gemma4 import (
    CheckpointError,
    Gemma4Config,
    Gemma4ForCausalLM,
    load_assistant,
    load_checkpoint,
    safetensors_folder,
)
from workbench.models.gemma4.checkpoint.quantisation import read_quantisation

MODULE = "model.layers.0.experts"
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


def assert_holds(model, dense):
    """Its experts are exactly what compressed-tensors makes of the checkpoint."""
    experts = model.get_submodule(MODULE)
    for name in ("gate_up_proj", "down_proj"):
        held = experts.projection(name)
        held.format.check(held)
        assert torch.equal(held.format.dequantise(held, torch.bfloat16), dense[f"{MODULE}.{name}"])


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


def test_a_quantised_model_generates(theirs, tmp_path):
    write_experts(tmp_path, theirs, "split", "int4-g16")
    model, _ = load_checkpoint(tmp_path, dtype=torch.float16)
    ids = random_ids(2, 5)
    assert model.generate(ids, 3).shape == (2, 8)
    assert model.get_submodule(MODULE).gate_up_proj_scale.dtype is torch.bfloat16


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


def in_shards(folder, shards=3):
    """The same checkpoint in several files, parts of one weight in different ones."""
    held = load_file(folder / "model.safetensors")
    files = {name: f"model-{index % shards}.safetensors" for index, name in enumerate(sorted(held))}
    for file in set(files.values()):
        save_file({name: held[name].clone() for name in held if files[name] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return files


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


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_quantisation(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))


def edit_tensors(folder, change):
    held = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(held)
    save_file(held, folder / "model.safetensors")


def set_weights(**changes):
    return lambda said: said["config_groups"]["group_0"]["weights"].update(changes)


CONFIGS = {
    "another group size": (
        set_weights(group_size=32),
        r"experts\S*: (group size 32 does not divide the input size 48|must have shape)",
    ),
    "zero points announced": (
        set_weights(symmetric=False),
        r"experts\S*: its weight_zero_point is missing, int4-g16-asym needs",
    ),
    "an unknown number of bits": (
        set_weights(num_bits=3),
        r"group_0.weights: must be one of int 4 bits per group, .*, got int 3",
    ),
    "words as numbers": (
        set_weights(group_size="16"),
        r"group_0.weights.group_size: must be a positive multiple of 8",
    ),
    "groups by activation": (
        set_weights(actorder="group"),
        r"weights.actorder: must be null, static or weight",
    ),
    "no groups": (lambda said: said.pop("config_groups"), r"quantization_config.config_groups: missing"),
    "groups that are none": (
        lambda said: said.update(config_groups=[1]),
        r"config_groups: must be an object",
    ),
    "another storage": (
        lambda said: said["config_groups"]["group_0"].update(format="nvfp4-pack-quantized"),
        r"group_0.format: must be pack-quantized for int4-g16 weights, got 'nvfp4-pack-quantized'",
    ),
    "an unknown storage": (
        lambda said: said["config_groups"]["group_0"].update(format="marlin-24"),
        r"group_0.format: must be one of pack-quantized, .*, got 'marlin-24'",
    ),
    "an expression that is none": (
        lambda said: said.update(ignore=["re:("]),
        r"'re:\(' is no regular",
    ),
    "experts ignored": (
        lambda said: said.update(ignore=["re:.*experts.*"]),
        r"belongs to a quantised weight, for which quantization_config of config.json has no format",
    ),
    "transforms": (
        lambda said: said.update(transform_config={"config_groups": {"R1": {}}}),
        r"transform_config.config_groups: must be empty",
    ),
    "AutoRound": (
        lambda said: said.update(quant_method="auto-round"),
        r"quant_method: .*: AutoRound's own layout",
    ),
    "the layout of another": (
        lambda said: said.update(quant_method="gptq", bits=4, group_size=16),
        r"experts\S*: its qweight is missing, int4-g16 needs one",
    ),
    "an unknown method": (
        lambda said: said.update(quant_method="magic"),
        r"quant_method: .*, got 'magic'$",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_does_not_agree_with_the_tensors_is_refused(theirs, tmp_path, case):
    change, message = CONFIGS[case]
    write_experts(tmp_path, theirs, "split", "int4-g16")
    edit_quantisation(tmp_path, change)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


FIRST = f"{MODULE}.0.gate_proj"


def replace_part(part, tensor):
    return lambda held: held.update({f"{FIRST}.{part}": tensor})


def spoil(held):
    held[f"{FIRST}.weight_scale"][0, 0] = float("nan")


def spell_as_gptq(held):
    held.update(
        {f"{FIRST}.qweight": held.pop(f"{FIRST}.weight_packed"), f"{FIRST}.g_idx": torch.zeros(64).int()}
    )


TENSORS = {
    "NaN among the scales": (spoil, rf"{FIRST}.weight_scale: must be finite, has NaN or infinity"),
    "a missing scale": (
        lambda held: held.pop(f"{FIRST}.weight_scale"),
        rf"{FIRST}.weight_packed: its weight_scale is missing",
    ),
    "a missing expert": (
        lambda held: [held.pop(name) for name in list(held) if f"{MODULE}.1.up_proj" in name],
        rf"{MODULE}\.1\.up_proj is missing beside it",
    ),
    "an expert too many": (
        lambda held: held.update({f"{MODULE}.70.up_proj.weight_packed": torch.zeros(1).int()}),
        r"experts\.70\.up_proj\.weight_packed: expert 70 is beyond num_experts \(9\)",
    ),
    "a wrong packing": (
        replace_part("weight_packed", torch.zeros(INNER, HIDDEN // 4).int()),
        rf"{FIRST}.weight_packed: must have shape \[48, 8\] for int4-g16, got \[48, 16\]",
    ),
    "another dtype": (
        replace_part("weight_packed", torch.zeros(INNER, HIDDEN // 8)),
        rf"{FIRST}.weight_packed: dtype must be int32 for int4-g16, got float32",
    ),
    "zero points too many": (
        replace_part("weight_zero_point", torch.zeros(INNER // 8, 4).int()),
        rf"{FIRST}.weight_zero_point: must be absent, int4-g16 has no zero points",
    ),
    "another shape said": (
        replace_part("weight_shape", torch.tensor([1, 2])),
        rf"{FIRST}.weight_shape: must say \[48, 64\]",
    ),
    "a dense expert among them": (
        lambda held: [
            held.update({f"{FIRST}.weight": torch.zeros(INNER, HIDDEN)}),
            *(held.pop(f"{FIRST}.weight_{part}") for part in ("packed", "scale", "shape")),
        ],
        rf"{FIRST}.weight: must be quantised as int4-g16, as .*group_0 says, got float32",
    ),
    "GPTQ's tensors": (spell_as_gptq, r"g_idx: is of GPTQ's own layout, of which config.json says nothing"),
    "both families": (
        lambda held: held.update(
            {f"{MODULE}.down_proj_packed": torch.zeros(EXPERTS, HIDDEN, INNER // 8).int()}
        ),
        r"is there twice, also as ",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_are_missing_or_do_not_fit_are_named_with_their_file(theirs, tmp_path, case):
    change, message = TENSORS[case]
    write_experts(tmp_path, theirs, "split", "int4-g16")
    edit_tensors(tmp_path, change)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(tmp_path)
    assert "model.safetensors: " in str(error.value)
    assert "\n" not in str(error.value)


def test_quantised_tensors_without_a_config_are_refused(theirs, tmp_path):
    write_experts(tmp_path, theirs, "stacked", "int4-g16")
    write_config(tmp_path, theirs)
    with pytest.raises(
        CheckpointError, match=r"_proj_packed: belongs to a quantised weight, but config.json has"
    ):
        load_checkpoint(tmp_path)


def test_a_header_that_lies_about_sizes_is_named(theirs, tmp_path):
    write_experts(tmp_path, theirs, "stacked", "int4-g16")
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    for lie in (
        content.replace(b'"shape":[64]', b'"shape":[65]', 1),
        b"\xff" * 8 + content[8:],
        content[:-9],
    ):
        file.write_bytes(lie)
        with pytest.raises(CheckpointError, match=r"model.safetensors: is no readable safetensors file"):
            load_checkpoint(tmp_path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 200)
    | st.sampled_from(("", "int", "float", "re:(", "re:.*", "Linear")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
WHOLE = json.loads(scheme_of("int4-g16").model_dump_json())
PLACES = [(name,) for name in ("quant_method", "format", "ignore", "config_groups", "transform_config")]
PLACES += [("config_groups", "group_0", *rest) for rest in [(), *((name,) for name in WHOLE)]]
PLACES += [("config_groups", "group_0", "weights", name) for name in WHOLE["weights"]]


@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_a_config_says_is_read_or_refused_with_its_key(tmp_path_factory, place, value):
    folder = tmp_path_factory.getbasetemp()
    *path, last = place
    groups = {"group_0": json.loads(json.dumps(WHOLE))}
    said = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}
    holder = said
    for key in path:
        holder = holder[key]
    holder[last] = value
    try:
        found = read_quantisation(folder, {"quantization_config": said})
        assert found is None or found.rule_for({"model.x"}, {"Linear"}) is None or found.rules
    except CheckpointError as error:
        assert str(error).startswith(f"{folder / 'config.json'}: quantization_config")
