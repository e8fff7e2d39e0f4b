from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("compressed_tensors", reason="needs compressed-tensors")

from tests.models.gemma4.quantised_checkpoints import (
    EXPERTS,
    HIDDEN,
    INNER,
    MODULE,
    draw_theirs,
    edit_quantisation,
    edit_tensors,
    scheme_of,
    write_config,
    write_experts,
)
from workbench.models.gemma4 import (
    CheckpointError,
    load_checkpoint,
)
from workbench.models.gemma4.checkpoint.quantisation import read_quantisation


@pytest.fixture(scope="module")
def theirs():
    return draw_theirs()


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
    "an expression that backtracks without end": (
        lambda said: said.update(ignore=["re:(.|.)+\\d$"]),
        r"'re:.*' must match a module's name within 1 s",
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
