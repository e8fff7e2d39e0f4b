"""The engines' kernels as sweep targets in Triton's interpreter; run by test_targets.py in a process of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integrations.results_for_experts import CONFIG, PROBLEM
from tests.integrations.stand_in_engines import stand_in_engines
from workbench.measure.inputs import draw_inputs
from workbench.sweep.kernels import load_kernel
from workbench.sweep.stages.interpreter import mend_interpreter
from workbench.sweep.stages.verify import verify

mend_interpreter()


@pytest.fixture(autouse=True)
def engines():
    with stand_in_engines():
        yield


def checked(reference, problem, config=None):
    kernel = load_kernel(reference)
    complete = kernel.complete(config or {})
    return verify(
        kernel, kernel.interpreter_problem(problem, complete), complete, seeds=range(2), device="cpu"
    )


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize(
    ("tokens", "config"), [(4, {}), (300, {**CONFIG, "BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 16})]
)
def test_experts_agree_with_the_reference(engine, tokens, config):
    assert checked(f"{engine}.fused_moe", {**PROBLEM, "tokens": tokens}, config) is None


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("dtype", ["fp16"])
@pytest.mark.parametrize("sizes", [(6, 3, 48, 80), (1, 1, 16, 16), (3, 3, 33, 17)])
def test_experts_of_odd_sizes_agree_with_the_reference(engine, dtype, sizes):
    problem = dict(zip(("num_experts", "top_k", "hidden_size", "intermediate_size"), sizes, strict=True))
    assert checked(f"{engine}.fused_moe", {**problem, "dtype": dtype, "tokens": 7}) is None


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_routing_agrees_with_the_reference(engine, dtype):
    assert (
        checked(f"{engine}.gemma4_routing", {"num_experts": 100, "top_k": 8, "dtype": dtype, "tokens": 5})
        is None
    )


def test_a_wrong_kernel_is_found_out():
    kernel = load_kernel("vllm.fused_moe")
    problem = {
        **PROBLEM,
        "num_experts": 2,
        "top_k": 2,
        "hidden_size": 32,
        "intermediate_size": 32,
        "tokens": 3,
    }

    def launches(inputs, outputs, problem, config):
        swapped = {**inputs, "weights": inputs["weights"].flip(1).contiguous()}
        return kernel.launches(swapped, outputs, problem, config)

    wrong = replace(kernel, launches=launches)
    assert "out: " in verify(wrong, problem, wrong.default_config, seeds=range(1), device="cpu")


def test_sglang_s_own_call_agrees_with_the_reference():
    from workbench.integrations.targets import sglang

    problem = {
        **PROBLEM,
        "num_experts": 4,
        "top_k": 2,
        "hidden_size": 48,
        "intermediate_size": 32,
        "tokens": 9,
    }
    kernel = load_kernel("sglang.fused_moe")
    inputs = draw_inputs(kernel, problem, seed=0, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        made = []
        patch.setattr(sglang, "experts_target", lambda name, api: made.append(api))
        sglang.fused_moe("x")
    out = made[0].call(inputs, {**CONFIG, "BLOCK_SIZE_K": 16})
    assert kernel.compare({"out": out}, kernel.reference(inputs, problem), problem) is None
