"""Problems with quantised weights as sweeps and lookups see them, and what is said of backends."""

from __future__ import annotations

import pytest
import torch

from moe_kernels.activation import Activation
from moe_kernels.experts import (
    EXPERTS,
    EXPERTS_BACKEND,
    EXPERTS_DECODE,
    QuantisedCall,
    explain_backend,
    fused_experts,
)
from moe_kernels.experts.backend import launches_of
from moe_kernels.formats import parse_format
from moe_kernels.tuned import source_hash
from tests.moe_kernels.experts.cases import draw_tensors
from tests.moe_kernels.experts.quantised_cases import draw_quantised
from workbench.sweep.stages.compile import meta_launches
from workbench.trials.trial import Candidate

KERNELS = (EXPERTS, EXPERTS_DECODE, EXPERTS_BACKEND)
WORDS = ("int4_w4a16", "fp8_w8a8", "nvfp4")
GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "tokens": 16}
DEVICE = "NVIDIA_B200"


def problem(word, **changes):
    group = {"group_size": 32} if word == "int4_w4a16" else {}
    return {**GEMMA, "dtype": word, **group, **changes}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_each_dtype_has_a_source_hash_of_its_own_and_dense_ones_share_that_of_the_kernel(kernel):
    hashes = {word: source_hash(kernel.of(problem(word)).kernels) for word in (*WORDS, "bf16", "fp16")}
    assert hashes.pop("bf16") == hashes.pop("fp16") == source_hash(kernel.kernels)
    assert len({*hashes.values(), source_hash(kernel.kernels)}) == 4


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_every_launch_of_a_problem_is_covered_by_its_source_hash(kernel, word):
    asked = problem(word)
    seen = kernel.of(asked)
    for tokens in (1, 4096):
        config = seen.default_config
        launches = meta_launches(seen, Candidate({**asked, "tokens": tokens}, config))
        used = [launch.kernel for launch in launches]
        used += [each for launch in launches for each in launch.constexprs.values() if hasattr(each, "fn")]
        assert all(any(each is known for known in seen.kernels) for each in used)


def test_group_size_is_an_axis_of_int4_alone_and_in_the_name_of_its_files():
    stem = "E=128,K=8,H=2816,I=704,dtype=int4_w4a16"
    assert EXPERTS.file_stem(problem("int4_w4a16")) == f"{stem},group_size=32"
    assert EXPERTS.file_stem({**GEMMA, "dtype": "int4_w4a16"}) == stem
    assert EXPERTS.file_stem(problem("nvfp4")) == "E=128,K=8,H=2816,I=704,dtype=nvfp4"
    axes = {word: [axis.name for axis in EXPERTS.of(problem(word)).axes] for word in (*WORDS, "bf16")}
    assert [word for word, names in axes.items() if "group_size" in names] == ["int4_w4a16"]


def test_the_scaled_product_is_a_parameter_of_nvfp4_alone():
    assert EXPERTS.of(problem("nvfp4")).default_config == {**EXPERTS.default_config, "dot_scaled": 0}
    assert EXPERTS.of(problem("fp8_w8a8")).default_config == EXPERTS.default_config
    with pytest.raises(ValueError, match="'dot_scaled' is no parameter of experts"):
        EXPERTS.of(problem("bf16")).complete({"dot_scaled": 1})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (problem("int4_w4a16", group_size=128), "intermediate_size=704: group size 128 does not divide"),
        (problem("int4_w4a16", group_size=12), "group_size: must be a positive multiple of 8"),
        (problem("nvfp4", intermediate_size=88), "intermediate_size=88: groups of 16 do not divide"),
    ],
)
def test_a_size_that_a_format_cannot_hold_is_no_problem(asked, says):
    for kernel in KERNELS:
        seen = kernel.of(asked)
        assert says in seen.why_rejected(asked, seen.default_config)
    choice = explain_backend({k: v for k, v in asked.items() if k != "tokens"}, 4, DEVICE)
    assert choice.backend == "torch"
    assert says in choice.reason


def test_blocks_of_depth_are_as_large_as_instructions_take():
    shallow = {"BLOCK_SIZE_K": 16}
    for word, least in (("fp8_w8a8", 32), ("int4_w4a16", None), ("nvfp4", None)):
        seen = EXPERTS.of(problem(word))
        reason = seen.why_rejected(problem(word), seen.complete(shallow))
        assert reason == (least and f"BLOCK_SIZE_K=16 is less than {least} with dtype={word}")


@pytest.mark.parametrize(("capability", "is_pruned"), [(90, True), (89, True), (100, False), (120, False)])
def test_the_scaled_product_is_pruned_with_a_reason_where_gpus_do_not_convert(
    capability, is_pruned, monkeypatch
):
    monkeypatch.setattr("moe_kernels.experts.quantised.code._triton_version", lambda: (3, 9))
    reason = EXPERTS.reject_on(problem("nvfp4"), {"dot_scaled": 1}, capability)
    assert (reason is not None) == is_pruned
    assert EXPERTS.reject_on(problem("nvfp4"), {"dot_scaled": 0}, capability) is None
    if is_pruned:
        assert f"sm_{capability}" in reason


def test_the_scaled_product_is_pruned_with_a_triton_that_cannot_compile_it(monkeypatch):
    monkeypatch.setattr("moe_kernels.experts.quantised.code._triton_version", lambda: (3, 6))
    reason = EXPERTS.reject_on(problem("nvfp4"), {"dot_scaled": 1}, 100)
    assert reason == "dot_scaled=1 needs Triton 3.9 for scales in e4m3, this is 3.6"


@pytest.mark.parametrize(("word", "bits"), [("int4_w4a16", 4.5), ("fp8_w8a8", 8), ("nvfp4", 4.5)])
def test_traffic_counts_packed_bytes(word, bits):
    one = EXPERTS.traffic(problem(word, tokens=1))
    assert one.bytes_read == pytest.approx(8 * 3 * 704 * 2816 * bits / 8, rel=5e-3)


@pytest.mark.parametrize("word", WORDS)
def test_auto_says_how_weights_are_read(word):
    choices = [explain_backend(problem(word), tokens, DEVICE) for tokens in (1, 4096)]
    assert [choice.backend for choice in choices] == ["decode", "grouped"]
    assert all(word in choice.reason and not choice.impossible for choice in choices)


# What Triton 3.9 emits: mma.sync of e4m3 on sm_89 and sm_120; on sm_90 and sm_100 wgmma and tcgen05 of e4m3 from 64
# rows on, and mma.sync of f16 below.
@pytest.mark.parametrize(
    ("capability", "tokens", "reads"),
    [
        (80, 1, "widened to fp16 in registers, as sm_80 has no FP8 tensor cores"),
        (89, 1, "multiplied on FP8 tensor cores"),
        (120, 1, "multiplied on FP8 tensor cores"),
        (90, 1, "widened to fp16 in registers, as blocks have 16 rows and sm_90 needs 64"),
        (100, 1, "widened to fp16 in registers, as blocks have 16 rows and sm_100 needs 64"),
        (90, 4096, "multiplied on FP8 tensor cores"),
    ],
)
def test_fp8_is_said_to_be_multiplied_as_the_compiler_does_it(monkeypatch, capability, tokens, reads):
    monkeypatch.setattr("moe_kernels.experts.backend.capability_of", lambda device: capability)
    assert explain_backend(problem("fp8_w8a8"), tokens, DEVICE).reason.endswith(f"fp8_w8a8 is {reads}")


@pytest.mark.parametrize("word", WORDS)
def test_activations_that_no_kernel_takes_go_by_torch_and_it_is_said(word):
    choice = explain_backend(problem(word), 4, DEVICE, activations="fp32")
    assert choice.backend == "torch"
    assert choice.reason == f"a kernel takes bf16 or fp16 beside weights in {word}, got fp32"


def test_an_old_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    choice = explain_backend(problem("fp8_w8a8"), 4, torch.device("cuda", 0))
    assert choice.reason == "a kernel takes weights in fp8_w8a8 from sm_80 on, got sm_75"


def test_formats_of_one_kind_may_differ_in_groups_but_not_in_kind():
    hidden, gate_up, down, weights, ids = draw_tensors((2, 3, 1, 64, 32))
    coarse, fine = parse_format("int4-g64").quantise(gate_up), parse_format("int4-g16").quantise(down)
    call = named((hidden, coarse, fine, weights, ids))
    assert call.problem["group_size"] == 16
    assert fused_experts(hidden, coarse, fine, weights, ids).shape == (2, 64)
    with pytest.raises(ValueError, match=r"^down: must be int4-g64 as gate_up"):
        fused_experts(hidden, coarse, parse_format("nvfp4").quantise(down), weights, ids)


def named(tensors):
    names = ("hidden", "gate_up", "down", "weights", "ids")
    return QuantisedCall(**dict(zip(names, tensors, strict=True)), activation=Activation.gelu_tanh)


@pytest.mark.parametrize("name", ["int4-g64", "nvfp4", "fp8-block"])
@pytest.mark.parametrize(("backend", "launches"), [("grouped", 5), ("decode", 3)])
def test_quantised_activations_cost_a_launch_a_product_and_other_formats_none(name, backend, launches):
    tensors = draw_quantised(name)
    call = named(tuple(each.to("meta") for each in tensors))
    kernel = {"grouped": EXPERTS, "decode": EXPERTS_DECODE}[backend]
    out = torch.empty_like(call.hidden)
    found = launches_of(backend, call, out, kernel.of(call.problem).default_config)
    assert len(found) == launches + (2 if name == "fp8-block" else 0)
    # Blocks of scales cut the depth, as the engines do.
    depths = {launch.constexprs["BLOCK_K"] for launch in found if "PRODUCT" in launch.constexprs}
    assert max(depths) <= 128
