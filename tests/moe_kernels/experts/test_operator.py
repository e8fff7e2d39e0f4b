"""Dispatch, torch.compile and the operator on the path that this process takes; test_interpreted runs this too."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from moe_kernels.experts import fused_experts
from tests.moe_kernels.experts.cases import LAYOUTS, draw_tensors
from tests.moe_kernels.experts.oracle import GATED, UNGATED, assert_mixed

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
OPERATOR = "moe_kernels.fused_experts.default"
SIZES = (5, 4, 2, 20, 12)
CONFIGS = [None, {}, {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 32, "BLOCK_SIZE_K": 16, "fuse_activation": 1}]


@pytest.fixture
def tensors(device):
    torch.manual_seed(0)
    return draw_tensors(SIZES, routing="some_foreign", device=device)


class Operations(TorchDispatchMode):
    """The names of the operations that reach the dispatcher."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


class Functions(torch.Tensor):
    """A subclass that sees torch's functions."""


class Wrapper(torch.Tensor):
    """A subclass that holds another tensor and sends every operation through Python, as TorchAX's does."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=inner.device
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(Wrapper, lambda tensor: tensor.inner, (args, kwargs or {}))
        return tree_map_only(torch.Tensor, Wrapper, function(*args, **kwargs))


def plain(tensor):
    return tensor.inner if isinstance(tensor, Wrapper) else tensor.as_subclass(torch.Tensor)


def test_plain_tensors_and_parameters_are_one_operation(tensors):
    hidden, gate_up, down, weights, ids = tensors
    for kind in (torch.Tensor.clone, torch.nn.Parameter, torch.nn.Buffer):
        with torch.no_grad(), Operations() as operations:
            fused_experts(hidden, kind(gate_up), kind(down), weights, ids)
        assert operations.names[-1] == OPERATOR
        assert operations.names.count(OPERATOR) == 1


@pytest.mark.parametrize("activation", [*GATED, *UNGATED])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_values_are_the_oracles_for_every_dtype_and_activation(device, dtype, activation):
    tensors = draw_tensors(SIZES, dtype=dtype, routing="some_foreign", activation=activation, device=device)
    assert_mixed(fused_experts(*tensors, activation=activation), tensors, activation)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_values_are_the_oracles_under_other_strides(tensors, layout):
    strided = tuple(layout(tensor) for tensor in tensors)
    assert_mixed(fused_experts(*strided), tensors)


@pytest.mark.parametrize("weights_dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_routed_weights_may_have_any_float_dtype_and_ids_be_narrow(tensors, weights_dtype):
    hidden, gate_up, down, weights, ids = tensors
    given = (hidden, gate_up, down, weights.to(weights_dtype), ids.clamp(-5, 99).int())
    assert_mixed(fused_experts(*given), given)


@pytest.mark.parametrize(
    "sizes", [(0, 4, 2, 20, 12), (3, 4, 0, 20, 12), (3, 0, 2, 20, 12), (0, 0, 0, 0, 0)], ids=str
)
def test_nothing_to_compute_gives_zeros(device, sizes):
    tokens, experts, top_k, hidden_size, inner = sizes
    tensors = (
        torch.randn(tokens, hidden_size, device=device, dtype=torch.bfloat16),
        torch.zeros(experts, 2 * inner, hidden_size, device=device, dtype=torch.bfloat16),
        torch.zeros(experts, hidden_size, inner, device=device, dtype=torch.bfloat16),
        torch.ones(tokens, top_k, device=device),
        torch.zeros(tokens, top_k, device=device, dtype=torch.int32),
    )
    out = fused_experts(*tensors)
    assert torch.equal(out, torch.zeros_like(tensors[0]))


@pytest.mark.parametrize("subclass", [lambda tensor: tensor.as_subclass(Functions), Wrapper])
@pytest.mark.parametrize("which", [0, 1, 3, slice(None)], ids=str)
def test_a_subclass_takes_plain_torch_operations_and_gives_the_same(tensors, subclass, which):
    given = list(tensors)
    given[which] = (
        [subclass(each) for each in given[which]] if which == slice(None) else subclass(given[which])
    )
    with Operations() as operations:
        out = fused_experts(*given, config={"num_warps": 8})
    assert OPERATOR not in operations.names
    assert_mixed(plain(out), tensors)


def test_meta_tensors_have_a_shape(tensors):
    out = fused_experts(*(tensor.to("meta") for tensor in tensors))
    assert (out.shape, out.dtype, out.device.type) == ((5, 20), torch.bfloat16, "meta")


def test_inputs_are_left_as_they_were(tensors):
    before = [tensor.clone() for tensor in tensors]
    fused_experts(*tensors)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, before, strict=True))


def test_inference_mode(tensors):
    with torch.inference_mode():
        assert_mixed(fused_experts(*tensors), tensors)


@pytest.mark.parametrize("tokens", [0, 1, 3])
@pytest.mark.parametrize("requires_grad", [False, True], ids=["inference", "training"])
def test_operator_passes_torchs_own_checks(device, tokens, requires_grad):
    tensors = draw_tensors((tokens, 3, 2, 8, 4), dtype=torch.float32, device=device)
    inputs = [tensor.requires_grad_(requires_grad) for tensor in tensors[:4]]
    operator = torch.ops.moe_kernels.fused_experts.default
    torch.library.opcheck(operator, (*inputs, tensors[4], "gelu_tanh", "auto", None))


def compiled(function, **options):
    """The function under torch.compile with any break an error, and what counts its graphs."""
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(function, fullgraph=True, backend=counter, **options), counter


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_one_graph_serves_all_token_counts_but_0_and_1(device, config):
    _, gate_up, down, _, _ = draw_tensors(SIZES, device=device)

    def mixed(hidden, weights, ids):
        return fused_experts(hidden * 2, gate_up, down, weights, ids, config=config)

    run, counter = compiled(mixed, dynamic=True)
    for tokens in (5, 2, 7, 3):
        hidden, _, _, weights, ids = draw_tensors((tokens, *SIZES[1:]), device=device)
        assert torch.equal(run(hidden, weights, ids), mixed(hidden, weights, ids))
    assert counter.frame_count == 1
    assert [str(node.target) for node in counter.graphs[0].graph.nodes].count(OPERATOR) == 1


def test_a_compiled_step_trains(device):
    tensors = draw_tensors(SIZES, dtype=torch.float32, routing="some_foreign", device=device)

    def loss(hidden, gate_up, down, weights):
        return fused_experts(hidden, gate_up, down, weights, tensors[4]).square().sum()

    inputs = [tensor.requires_grad_() for tensor in tensors[:4]]
    run, _ = compiled(loss)
    expected = torch.autograd.grad(loss(*inputs), inputs)
    torch.testing.assert_close(torch.autograd.grad(run(*inputs), inputs), expected)


def test_a_substituted_parameter_reaches_the_kernel(tensors):
    hidden, gate_up, down, weights, ids = tensors

    class Experts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.down = torch.nn.Parameter(torch.zeros_like(down))

        def forward(self):
            return fused_experts(hidden, gate_up, self.down, weights, ids)

    assert_mixed(torch.func.functional_call(Experts(), {"down": down}, ()), tensors)
