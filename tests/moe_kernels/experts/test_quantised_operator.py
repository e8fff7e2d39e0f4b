"""The operator for quantised weights on the path that this process takes."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from moe_kernels.experts import fused_experts
from moe_kernels.formats.format import TENSOR_NAMES
from tests.moe_kernels.experts.quantised_cases import SIZES, assert_quantised_mix, draw_quantised
from tests.moe_kernels.experts.test_operator import Functions, Operations

OPERATOR = "moe_kernels.fused_quantised_experts.default"
FORMATS = ("int4-g24-asym", "int4-channel-asym", "fp8-block-r64", "nvfp4")

DESCRIBED = {
    "int4-g24-asym": ("int4_w4a16", 24),
    "int4-channel-asym": ("int4_w4a16", 0),
    "fp8-block-r64": ("block", 64),
    "nvfp4": ("nvfp4", 0),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


def moved(tensors, device):
    return tuple(each.to(device) for each in tensors)


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_is_one_operation_and_its_values_are_the_oracles(device, name):
    tensors = moved(draw_quantised(name, routing="some_foreign"), device)
    with Operations() as operations:
        out = fused_experts(*tensors)
    assert operations.names.count(OPERATOR) == 1
    assert_quantised_mix(out, tensors)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("backend", ["grouped", "decode"])
def test_kernels_on_a_gpu_give_what_the_oracle_gives_and_the_same_bits_twice(name, backend):
    tensors = moved(draw_quantised(name, 9, 4, 2, routing="some_foreign"), "cuda")
    out = fused_experts(*tensors, backend=backend)
    assert_quantised_mix(out, tensors)
    assert torch.equal(fused_experts(*tensors, backend=backend), out)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FORMATS)
def test_a_cuda_graph_replays_it(name):
    tensors = moved(draw_quantised(name), "cuda")
    expected = fused_experts(*tensors)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = fused_experts(*tensors)
    graph.replay()
    assert torch.equal(out, expected)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tokens", [0, 3])
def test_operator_passes_torchs_own_checks(device, name, tokens):
    hidden, gate_up, down, weights, ids = moved(draw_quantised(name, tokens), device)
    tensors = [getattr(each, attribute) for each in (gate_up, down) for attribute in TENSOR_NAMES]
    word, shared = DESCRIBED[name]
    columns = [gate_up.shape[2], down.shape[2]]
    arguments = (hidden, *tensors, weights, ids, [word] * 2, [shared] * 2, columns, "gelu_tanh", "auto", None)
    operator = torch.ops.moe_kernels.fused_quantised_experts.default
    checks = ["test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"]
    # On a CPU torch multiplies no tensors in eight bits, which its check of schemas does.
    has_bytes = any(tensor is not None and tensor.dtype is torch.float8_e4m3fn for tensor in tensors)
    torch.library.opcheck(operator, arguments, test_utils=checks if has_bytes else ["test_schema", *checks])


@pytest.mark.parametrize("name", ["int4-g24-asym", "nvfp4"])
def test_one_graph_serves_all_token_counts_but_0_and_1(device, name):
    _, gate_up, down, _, _ = moved(draw_quantised(name), device)

    def mixed(hidden, weights, ids):
        return fused_experts(hidden * 2, gate_up, down, weights, ids)

    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    run = torch.compile(mixed, fullgraph=True, dynamic=True, backend=counter)
    # The first is no other size, which torch would take for the same.
    for tokens in (7, 2, 5):
        hidden, _, _, weights, ids = moved(draw_quantised(name, tokens), device)
        assert torch.equal(run(hidden, weights, ids), mixed(hidden, weights, ids))
    assert counter.frame_count == 1


def test_a_gradient_is_refused_when_it_is_asked_for_and_not_before(device):
    hidden, gate_up, down, weights, ids = moved(draw_quantised("nvfp4"), device)
    out = fused_experts(hidden.requires_grad_(), gate_up, down, weights, ids)
    with pytest.raises(RuntimeError, match="quantised weights have no gradient"):
        out.sum().backward()


def test_a_subclass_takes_plain_torch_operations(device):
    hidden, *rest = moved(draw_quantised("int4-g64"), device)
    with Operations() as operations:
        out = fused_experts(hidden.as_subclass(Functions), *rest)
    assert OPERATOR not in operations.names
    assert torch.equal(out.as_subclass(torch.Tensor), fused_experts(hidden, *rest, backend="torch"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wide_activations_go_by_torch(device, dtype):
    hidden, *rest = moved(draw_quantised("int4-g64"), device)
    tensors = (hidden.to(dtype), *rest)
    out = fused_experts(*tensors)
    assert out.dtype is dtype
    assert_quantised_mix(out, tensors)
    with pytest.raises(
        ValueError, match="backend: grouped takes bf16 or fp16 beside weights in int4_w4a16, got"
    ):
        fused_experts(*tensors, backend="grouped")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"dot_scaled": 1}, "'dot_scaled' is no parameter of experts"),
        ({"BLOCK_SIZE_K": 16}, "BLOCK_SIZE_K=16 is less than 32 with dtype=fp8_w8a8"),
        ({"BLOCK_SIZE_M": 24}, "BLOCK_SIZE_M=24 is no power of two from 16 to 256"),
    ],
)
def test_a_config_is_judged_by_the_format(device, config, says):
    tensors = moved(draw_quantised("fp8-channel"), device)
    with pytest.raises(ValueError, match=f"^config: {says}"):
        fused_experts(*tensors, config=config)
