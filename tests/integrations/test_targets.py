from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tuned import source_hash
from tests.integrations.results_for_experts import CONFIG, PROBLEM
from tests.integrations.stand_in_engines import stand_in_engines
from tests.support.interpreter import assert_pass_in_interpreter
from workbench.base.errors import InputError
from workbench.integrations.engines import ENGINES
from workbench.integrations.targets import ENGINE_TARGETS
from workbench.integrations.targets.alignment import align, meta_alignment
from workbench.measure.inputs import draw_inputs
from workbench.sweep.kernels import load_kernel
from workbench.sweep.spec import load_spec, resolve_kernel
from workbench.sweep.stages.compile import code_identity, compile_candidate, meta_launches
from workbench.trials.trial import Candidate

ROUTING = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}


@pytest.fixture
def engines():
    with stand_in_engines():
        yield


def candidate(reference, tokens=8, **config):
    kernel = load_kernel(reference)
    problem = ROUTING if "routing" in reference else PROBLEM
    return Candidate({**problem, "tokens": tokens}, kernel.complete(config))


def test_the_targets_pass_their_tests_in_the_interpreter(pytestconfig):
    assert_pass_in_interpreter(pytestconfig, Path(__file__).with_name("interpreted_targets.py"))


@pytest.mark.parametrize("reference", list(ENGINE_TARGETS))
def test_a_target_is_a_kernel_with_a_name_for_results_and_a_source_hash(engines, reference):
    kernel = load_kernel(reference)
    assert kernel.name == reference.replace(".", "_")
    assert source_hash(kernel.kernels)


@pytest.mark.parametrize("reference", list(ENGINE_TARGETS))
def test_a_sweep_file_names_a_target(engines, reference, tmp_path):
    problem = ROUTING if "routing" in reference else PROBLEM
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"name: engine\nkernel: {reference}\ndevice: b200\n"
        f"problems: {{{', '.join(f'{k}: [{v}]' for k, v in problem.items())}, tokens: [1, 8]}}\n"
        "space: {num_warps: [4, 8]}\n"
    )
    assert resolve_kernel(load_spec(file)).name == load_kernel(reference).name


@pytest.mark.parametrize("reference", list(ENGINE_TARGETS))
@pytest.mark.parametrize("package_there", [False, True])
def test_without_the_package_the_error_says_how_to_install_it(
    reference, package_there, tmp_path, monkeypatch
):
    load_kernel.cache_clear()
    package = reference.split(".")[0]
    if package_there:
        (tmp_path / f"{package}.py").write_text("import torch_of_another_age\n")
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as error:
        load_kernel(reference)
    told = "No module named 'torch_of_another_age'" if package_there else f"`pip install {package}`"
    assert told in str(error.value)


def test_a_version_without_the_kernel_is_an_error_that_names_what_fits(engines, monkeypatch):
    from vllm.model_executor.layers.fused_moe import fused_moe

    monkeypatch.delattr(fused_moe, "invoke_fused_moe_triton_kernel")
    with pytest.raises(InputError, match=r"known to fit vllm 0\.33\.0"):
        load_kernel("vllm.fused_moe")


def test_a_launch_is_the_engine_s_own_with_the_config_in_it(engines):
    (first, second) = meta_launches(
        load_kernel("sglang.fused_moe"), candidate("sglang.fused_moe", 8, **CONFIG)
    )
    assert list(first.arguments)[:4] == ["a_ptr", "a_desc", "b_ptr", "b_desc"]
    assert {key: first.constexprs[key] for key in list(CONFIG)[:4]} == {
        key: CONFIG[key] for key in list(CONFIG)[:4]
    }
    assert first.options == {"num_warps": 4, "num_stages": 5, "enable_fp_fusion": True}
    assert [launch.constexprs["MUL_ROUTED_WEIGHT"] for launch in (first, second)] == [False, True]
    assert [launch.constexprs["top_k"] for launch in (first, second)] == [8, 1]
    assert (first.arguments["N"], second.arguments["N"], second.arguments["K"]) == (1408, 2816, 704)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("tokens", [1, 8, 100, 1000])
def test_the_default_is_what_the_engine_s_heuristic_chooses(engines, engine, tokens):
    chosen = ENGINES[engine].default_config(PROBLEM, tokens, None)
    reference = f"{engine}.fused_moe"
    kernel = load_kernel(reference)
    default, explicit = candidate(reference, tokens), candidate(reference, tokens, **chosen)
    assert code_identity(meta_launches(kernel, default)) == code_identity(meta_launches(kernel, explicit))


def test_vllm_skips_the_sort_where_few_rows_meet_many_experts(engines):
    kernel = load_kernel("vllm.fused_moe")
    naive = [
        meta_launches(kernel, candidate("vllm.fused_moe", tokens))[0].constexprs["naive_block_assignment"]
        for tokens in (1, 4, 5)
    ]
    assert naive == [True, True, False]


@pytest.mark.parametrize("reference", list(ENGINE_TARGETS))
def test_a_target_compiles_for_a_gpu_that_is_not_there(engines, reference):
    launches = compile_candidate(reference, candidate(reference), 100)
    assert len(launches) == (1 if "routing" in reference else 2)
    assert all(each.registers > 0 for each in launches)


@pytest.mark.parametrize(
    ("config", "problem", "reason"),
    [
        ({"BLOCK_SIZE_M": 24}, {}, "BLOCK_SIZE_M=24 is no power of two"),
        ({"num_warps": 64}, {}, "num_warps=64 is no power of two from 1 to 32"),
        ({"num_stages": -1}, {}, "num_stages must not be negative"),
        ({}, {"dtype": "fp8_w8a8"}, "dtype=fp8_w8a8 is not swept on an engine's kernel"),
        ({}, {"top_k": 200}, "top_k=200 is more than num_experts=128"),
    ],
)
def test_what_the_kernel_cannot_take_is_rejected(engines, config, problem, reason):
    kernel = load_kernel("vllm.fused_moe")
    assert reason in kernel.why_rejected({**PROBLEM, "tokens": 8, **problem}, kernel.complete(config))


def test_on_a_gpu_vllm_s_own_call_runs_with_the_config_in_force(engines, monkeypatch):
    from workbench.integrations.targets import vllm

    made = []
    monkeypatch.setattr(vllm, "experts_target", lambda name, api: made.append(api))
    vllm.fused_moe("x")
    inputs = {name: torch.ones(2, 2) for name in ("hidden", "gate_up", "down", "weights", "ids")}
    assert made[0].call(inputs, {**CONFIG, "num_stages": 7}).unique().tolist() == [8.0]


def test_inputs_draw_distinct_experts_and_the_traffic_counts_those_that_are_hit(engines):
    kernel = load_kernel("vllm.fused_moe")
    problem = {**PROBLEM, "hidden_size": 16, "intermediate_size": 16, "tokens": 50}
    ids = draw_inputs(kernel, problem, seed=0, device="cpu")["ids"]
    assert all(len(set(row)) == 8 for row in ids.tolist())
    one = kernel.traffic({**PROBLEM, "tokens": 1})
    assert one.bytes_read == pytest.approx(8 * 3 * 704 * 2816 * 2, rel=1e-3)
    assert one.flops == 2 * 8 * 3 * 704 * 2816


def test_a_routing_distribution_decides_which_experts_are_hit(engines):
    skewed = load_kernel("vllm.fused_moe").under(RoutingDistribution("zipf:3", "zipf", 3.0))
    problem = {**PROBLEM, "hidden_size": 16, "intermediate_size": 16, "tokens": 50}
    assert len(draw_inputs(skewed, problem, seed=0, device="cpu")["ids"].unique()) < 100


@pytest.mark.parametrize("block", [16, 32])
def test_an_alignment_gives_every_row_once_and_every_block_one_expert(block):
    ids = torch.tensor([[0, 3], [3, 1], [3, 0]], dtype=torch.int32)
    found = align(ids, block, 4)
    rows = found.sorted_token_ids.reshape(-1, block)
    assert sorted(row for row in rows.reshape(-1).tolist() if row < 6) == list(range(6))
    for expert, members in zip(found.expert_ids.tolist(), rows.tolist(), strict=True):
        assert {int(ids.reshape(-1)[row]) for row in members if row < 6} == {expert}
    assert found.num_tokens_post_padded.item() == rows.numel()
    assert rows.numel() <= meta_alignment(ids.to("meta"), block, 4).sorted_token_ids.numel()
