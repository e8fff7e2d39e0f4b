"""Dispatch, torch.compile and the operator on the path that this process takes; test_interpreted runs this too."""

from __future__ import annotations

import os

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from moe_kernels.routing import fused_routing
from tests.moe_kernels.routing.oracle import assert_routed
from tests.moe_kernels.routing.rows import KINDS, draw

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
OPERATOR = "moe_kernels.fused_routing.default"
EXPERTS, TOP_K = 13, 3
CONFIGS = [None, {}, {"algorithm": "topk", "num_warps": 2}]


@pytest.fixture
def takes_kernel(device):
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture
def needs_kernel(takes_kernel):
    if not takes_kernel:
        pytest.skip("plain torch operations on this path")


@pytest.fixture
def scale(device):
    return torch.linspace(0.5, 2, EXPERTS, device=device)


@pytest.fixture
def logits(device):
    return draw(0, list(KINDS), EXPERTS, torch.float32).to(device)


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


def test_plain_tensors_and_parameters_take_one_launch_where_there_is_a_kernel(logits, scale, takes_kernel):
    for given in (scale, torch.nn.Parameter(scale), torch.nn.Buffer(scale)):
        with torch.no_grad(), Operations() as operations:
            fused_routing(logits, given, TOP_K)
        assert operations.names.count(OPERATOR) == int(takes_kernel)
        assert len(operations.names) == 1 or not takes_kernel


def test_values_are_the_oracles_on_every_kind_of_row(logits, scale):
    assert_routed(*fused_routing(logits, scale, TOP_K), logits, scale, TOP_K)


@pytest.mark.parametrize("subclass", [lambda tensor: tensor.as_subclass(Functions), Wrapper])
@pytest.mark.parametrize("which", ["logits", "scale", "both"])
def test_a_subclass_takes_plain_torch_operations_and_gives_the_same(logits, scale, subclass, which):
    given_logits = logits if which == "scale" else subclass(logits)
    given_scale = scale if which == "logits" else subclass(scale)
    with Operations() as operations:
        weights, ids = fused_routing(given_logits, given_scale, TOP_K, config={"num_warps": 2})
    assert OPERATOR not in operations.names
    assert type(weights) is type(given_scale if which == "scale" else given_logits)
    assert_routed(plain(weights), plain(ids), logits, scale, TOP_K)


def test_a_parameter_that_holds_a_subclass_takes_plain_torch_operations(logits, scale):
    parameter = torch.nn.Parameter(Wrapper(scale))
    with torch.no_grad(), Operations() as operations:
        weights, ids = fused_routing(logits, parameter, TOP_K)
    assert OPERATOR not in operations.names
    assert_routed(plain(weights), plain(ids), logits, scale, TOP_K)


def test_meta_tensors_have_shapes_and_no_kernel():
    weights, ids = fused_routing(torch.empty(7, 5, device="meta"), torch.empty(5, device="meta"), 2)
    assert (weights.shape, weights.dtype, weights.device.type) == ((7, 2), torch.float32, "meta")
    assert (ids.shape, ids.dtype, ids.device.type) == ((7, 2), torch.int32, "meta")


def test_inputs_are_left_as_they_were(logits, scale):
    bits, values = logits.view(torch.int32).clone(), scale.clone()
    fused_routing(logits, scale, TOP_K)
    assert torch.equal(logits.view(torch.int32), bits)
    assert torch.equal(scale, values)


def test_inference_mode(logits, scale):
    with torch.inference_mode():
        assert_routed(*fused_routing(logits, scale, TOP_K), logits, scale, TOP_K)


@pytest.mark.parametrize("tokens", [0, 1, 5])
@pytest.mark.parametrize("config", [None, [2, 1, 2, 1]], ids=["no config", "config"])
@pytest.mark.parametrize("requires_grad", [False, True], ids=["inference", "training"])
def test_operator_passes_torchs_own_checks(needs_kernel, scale, tokens, config, requires_grad):
    logits = torch.randn(tokens, EXPERTS, device=scale.device)
    inputs = (
        logits.t().contiguous().t().requires_grad_(requires_grad),
        scale.bfloat16().requires_grad_(requires_grad),
    )
    torch.library.opcheck(torch.ops.moe_kernels.fused_routing.default, (*inputs, TOP_K, config))


def compiled(function, **options):
    """The function under torch.compile with any break an error, and what counts its graphs."""
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(function, fullgraph=True, backend=counter, **options), counter


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


def operators_in(graph):
    return [node for node in graph.graph.nodes if str(node.target) == OPERATOR]


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_one_graph_serves_all_token_counts_but_0_and_1(scale, takes_kernel, config):
    def routed(logits):
        return fused_routing(logits * 2, scale, TOP_K, config=config)

    run, counter = compiled(routed, dynamic=True)
    for tokens in (7, 2, 11, 3):
        logits = torch.randn(tokens, EXPERTS, device=scale.device)
        assert_same(run(logits), routed(logits))
    assert counter.frame_count == 1
    assert len(operators_in(counter.graphs[0])) == int(takes_kernel)
    for tokens in (0, 1):
        logits = torch.randn(tokens, EXPERTS, device=scale.device)
        assert_same(run(logits), routed(logits))
    # torch.compile gives sizes 0 and 1 graphs of their own.
    assert counter.frame_count == 3


def test_a_config_may_be_an_argument_of_what_is_compiled(scale):
    def routed(logits, config):
        return fused_routing(logits, scale, TOP_K, config=config)

    run, _ = compiled(routed, dynamic=True)
    logits = torch.randn(4, EXPERTS, device=scale.device)
    for config in (*CONFIGS, {"algorithm": "sort", "num_warps": 4}, {"tokens_per_program": 8}):
        assert_same(run(logits, config), routed(logits, config))


def test_top_k_may_vary_in_what_is_compiled(scale):
    run, _ = compiled(lambda logits, top_k: fused_routing(logits, scale, top_k), dynamic=True)
    logits = torch.randn(4, EXPERTS, device=scale.device)
    for top_k in (2, 5, 1, EXPERTS):
        assert_same(run(logits, top_k), fused_routing(logits, scale, top_k))


def test_a_compiled_step_trains(scale, takes_kernel):
    def loss(logits, scale):
        return fused_routing(logits, scale, TOP_K)[0].square().sum()

    run, counter = compiled(loss, dynamic=True)
    for tokens in (4, 6, 5):
        drawn = torch.randn(tokens, EXPERTS, device=scale.device)
        inputs = [drawn.clone().requires_grad_(), scale.clone().requires_grad_()]
        gradients = torch.autograd.grad(run(*inputs), inputs)
        torch.testing.assert_close(gradients, torch.autograd.grad(loss(*inputs), inputs))
    assert counter.frame_count == 1


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap], ids=["grad", "vmap"])
def test_transforms_can_be_compiled(scale, transform):
    def weights(logits):
        return fused_routing(logits, scale, TOP_K)[0]

    if transform is torch.func.grad:
        function, logits = transform(lambda logits: weights(logits).square().sum()), torch.randn(4, EXPERTS)
    else:
        function, logits = transform(weights), torch.randn(2, 4, EXPERTS)
    run, _ = compiled(function)
    logits = logits.to(scale.device)
    torch.testing.assert_close(run(logits), function(logits))


def test_a_substituted_parameter_reaches_the_kernel(logits, scale):

    class Router(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.per_expert_scale = torch.nn.Parameter(torch.ones(EXPERTS, device=scale.device))

        def forward(self, logits):
            return fused_routing(logits, self.per_expert_scale, TOP_K)

    actual = torch.func.functional_call(Router(), {"per_expert_scale": scale}, (logits,))
    assert_routed(*actual, logits, scale, TOP_K)
