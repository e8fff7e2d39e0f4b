"""GPTQ's and AWQ's own layouts, packed here from their definitions."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("compressed_tensors", reason="needs compressed-tensors")

from compressed_tensors.entrypoints.convert.converters.autoawq import AutoAWQConverter

from moe_kernels.formats import QuantisedWeights, parse_format
from tests.models.gemma4.quantised_checkpoints import EXPERTS, HIDDEN, INNER, draw_theirs, write_config
from workbench.models.gemma4 import CheckpointError, load_checkpoint

MODULE = "model.layers.0.experts"
GROUP = 16
SIZES = {"gate_proj": (INNER, HIDDEN), "up_proj": (INNER, HIDDEN), "down_proj": (HIDDEN, INNER)}
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def pack(codes, order=range(8)):
    """Codes [R, C] into words [R, C/8]: the i-th nibble of a word has the value of column order[i]."""
    words = torch.zeros(codes.shape[0], codes.shape[1] // 8, dtype=torch.int64)
    for place, column in enumerate(order):
        words |= codes[:, column::8].long() << (4 * place)
    return torch.where(words >= 2**31, words - 2**32, words).int()


def gptq(codes, zeros, scales, less=1):
    groups = torch.arange(codes.shape[1]) // GROUP
    packed = {"qweight": pack(codes).mT, "qzeros": pack((zeros.mT - less) % 16), "scales": scales.mT}
    return {**packed, "g_idx": groups.int()}


def gptq_v2(codes, zeros, scales):
    return gptq(codes, zeros, scales, less=0)


def awq(codes, zeros, scales):
    return {"qweight": pack(codes.mT, AWQ_ORDER), "qzeros": pack(zeros.mT, AWQ_ORDER), "scales": scales.mT}


def weight(shape, generator, *, symmetric):
    """Codes [N, K], zero points and scales [N, G], and the weight that they stand for."""
    rows, columns = shape
    codes = torch.randint(0, 16, shape, generator=generator)
    zeros = torch.randint(0, 16, (rows, columns // GROUP), generator=generator)
    zeros = torch.full_like(zeros, 8) if symmetric else zeros
    scales = (torch.rand(zeros.shape, generator=generator) + 0.5).half() / 100
    spread = [tensor.repeat_interleave(GROUP, 1) for tensor in (zeros, scales.float())]
    return codes, zeros, scales, (codes - spread[0]) * spread[1]


def write(folder, layout, config, *, symmetric=False):
    """A checkpoint with experts in the layout; gives what they stand for."""
    theirs, generator = draw_theirs(), torch.Generator().manual_seed(6)
    state = {key: tensor.clone() for key, tensor in theirs.state_dict().items() if "lm_head" not in key}
    state = {key: tensor for key, tensor in state.items() if not key.startswith(MODULE)}
    expected = {}
    for module in (f"{MODULE}.{expert}.{name}" for expert in range(EXPERTS) for name in SIZES):
        shape = SIZES[module.rpartition(".")[2]]
        codes, zeros, scales, expected[module] = weight(shape, generator, symmetric=symmetric)
        made = layout(codes, zeros, scales)
        state |= {f"{module}.{part}": tensor.contiguous() for part, tensor in made.items()}
    save_file(state, folder / "model.safetensors")
    write_config(folder, theirs)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": config}))
    return expected


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}
CASES = {
    "GPTQ": (gptq, GPTQ, False),
    "GPTQ of the second version": (gptq_v2, {**GPTQ, "checkpoint_format": "gptq_v2"}, False),
    "GPTQ without zero points": (gptq, {**GPTQ, "sym": True}, True),
    "AWQ": (awq, AWQ, False),
    "AWQ without zero points": (awq, {**AWQ, "zero_point": False}, True),
}


@pytest.mark.parametrize("case", CASES)
def test_other_packages_layouts_become_ours(tmp_path, case):
    layout, config, symmetric = CASES[case]
    expected = write(tmp_path, layout, config, symmetric=symmetric)
    model, report = load_checkpoint(tmp_path)
    experts = model.get_submodule(MODULE)
    assert report.formats == {MODULE: "int4-g16" if symmetric else "int4-g16-asym"}
    gate_up, down = (experts.projection(name) for name in ("gate_up_proj", "down_proj"))
    found = {name: held.format.dequantise(held) for name, held in (("gate_up", gate_up), ("down", down))}
    for expert in range(EXPERTS):
        gate, up, whole = (expected[f"{MODULE}.{expert}.{name}"] for name in SIZES)
        assert torch.equal(found["gate_up"][expert], torch.cat([gate, up]))
        assert torch.equal(found["down"][expert], whole)
    assert report.unused == {}


WRONG = {
    "eight bits": ({**GPTQ, "bits": 8}, r"quantization_config.bits: must be 4, got 8"),
    "groups by activation": ({**GPTQ, "desc_act": True}, r"quantization_config.desc_act: must be false"),
    "an unknown version": (
        {**GPTQ, "checkpoint_format": "marlin"},
        r"checkpoint_format: must be one of gptq, gptq_v2",
    ),
    "no group size": (
        {**GPTQ, "group_size": None},
        r"group_size: must be a positive multiple of 8, or -1, got None",
    ),
    "an impossible group": ({**GPTQ, "group_size": 128}, r"group size 128 does not divide the input size"),
    "zero points denied": (
        {**GPTQ, "sym": True},
        r"qzeros: must be 8 everywhere, int4-g16 has no zero points",
    ),
    "another group": ({**GPTQ, "group_size": 8}, r"must have shape \[\d+, \d+\] for int4-g8-asym, got"),
    "the other package": (AWQ, r"qweight: must have shape \[\d+, \d+\] for int4-g16-asym, got"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_config_that_does_not_agree_with_gptqs_tensors_is_refused(tmp_path, case):
    config, message = WRONG[case]
    write(tmp_path, gptq, config)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


def test_groups_in_another_order_are_refused(tmp_path):
    def shuffled(*tensors):
        made = gptq(*tensors)
        return {**made, "g_idx": made["g_idx"].flip(0)}

    write(tmp_path, shuffled, GPTQ)
    with pytest.raises(CheckpointError, match=r"g_idx: must be in order"):
        load_checkpoint(tmp_path)


def test_awq_is_read_as_compressed_tensors_converts_it(tmp_path):
    expected = write(tmp_path, awq, AWQ)
    module = f"{MODULE}.1.down_proj"
    held = {
        name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if module in name
    }
    converted = AutoAWQConverter(group_size=GROUP, targets=(f"re:.*{module}",)).process(held)
    parts = {"values": "packed", "scales": "scale", "zero_points": "zero_point"}
    tensors = {name: converted[f"{module}.weight_{part}"][None] for name, part in parts.items()}
    weights = QuantisedWeights(format=parse_format("int4-g16-asym"), **tensors)
    assert torch.equal(weights.format.dequantise(weights)[0], expected[module])
